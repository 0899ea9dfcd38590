"""What is said of backfills: how far they are, how fast, and what they wait for; and who may pause them."""

from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateTable

from alembic_online.backfill.execute import figures
from alembic_online.backfill.load import Load
from alembic_online.backfill.reports import Report, read_reports, set_paused
from alembic_online.backfill.state import State, finish, migration_backfills, note_waiting, percent, seconds_left
from local.postgres import Server
from tests.conftest import engine_for
from tests.each import each

BEGAN = datetime(2026, 11, 27, 12, tzinfo=UTC)


@each(
    "seen, estimated, done",
    [(0, 0, 0), (0, 900, 0), (1, 1, 99.9), (300, 900, 33.3), (900, 900, 99.9), (1800, 900, 99.9)],
)
def test_percent_of_an_estimate_are_never_all(seen: int, estimated: int, done: float) -> None:
    assert percent(seen, estimated) == done


@each("seen, rate, left", [(300, 50.0, 12), (900, 50.0, 0), (1800, 50.0, 0), (300, None, None)])
def test_the_time_left_is_that_of_the_estimated_rows_at_this_rate(
    seen: int, rate: float | None, left: float | None
) -> None:
    assert seconds_left(seen, 900, rate) == left


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (None, {"rows": 300, "percent": 33.3, "rows_per_second": None, "seconds_left": None}),
        (48.4, {"rows": 300, "percent": 33.3, "rows_per_second": 48, "seconds_left": 12}),
    ],
)
def test_the_log_has_whole_numbers(rate: float | None, said: dict[str, Any]) -> None:
    assert figures(State(1, ["7"], ["9"], 300, 20, 900, 1000, rate)) == said


@pytest.fixture
async def connection(server: Server, database: str) -> AsyncIterator[AsyncConnection]:
    engine = engine_for(server.url("zoo_migrator", database))
    async with engine.connect() as connected:
        yield connected
    await engine.dispose()


async def note(connection: AsyncConnection, table: str, **values: Any) -> None:
    """A backfill of 900 rows of which 300 are done, which this session works on."""
    usual = {
        "revision": "names", "definition": table, "rows_seen": 300, "rows_changed": 20, "rows_estimated": 900,
        "rows_per_second": 50.0, "batch_size": 1000, "pid": func.pg_backend_pid(), "started_at": BEGAN,
        "updated_at": BEGAN + timedelta(seconds=8),
    }  # fmt: skip
    await connection.execute(insert(migration_backfills).values(usual | {"table_name": table} | values))


@pytest.fixture
async def noted(connection: AsyncConnection, admin: asyncpg.Connection) -> AsyncConnection:
    """Backfills in each state there is, by the names of their tables."""
    await connection.execute(CreateTable(migration_backfills))
    why = {"waiting_for": "replicas"}
    await note(connection, "working")
    await note(connection, "waits", **why)
    await note(connection, "asked to pause", **why, paused=True)
    await note(connection, "killed", **why, pid=2**22 + 1)
    await note(connection, "killed, whose pid another has", **why, resumed_at=BEGAN - timedelta(days=1))
    elsewhere = await admin.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE datname IS DISTINCT FROM current_database()"
    )
    await note(connection, "killed, whose pid is one elsewhere", **why, pid=elsewhere)
    done = {"pid": None, "rows_seen": 800, "rows_per_second": 7.0}
    await note(connection, "done", **done, finished_at=BEGAN + timedelta(seconds=10))
    await note(connection, "done at once", **done, finished_at=BEGAN)
    return connection


async def test_a_report_says_what_is_known_in_its_state(noted: AsyncConnection) -> None:
    found: list[Report] = await noted.run_sync(read_reports)
    killed = ("interrupted", False, None, None, None, 33.3)
    assert [
        (it.table, it.state, it.paused, it.waiting_for, it.rows_per_second, it.seconds_left, it.percent) for it in found
    ] == [
        ("working", "running", False, None, 50, 12, 33.3),
        ("waits", "waiting", False, "replicas", 50, 12, 33.3),
        ("asked to pause", "paused", True, "replicas", 50, 12, 33.3),
        ("killed", *killed),
        ("killed, whose pid another has", *killed),
        ("killed, whose pid is one elsewhere", *killed),
        ("done", "finished", False, None, 80, None, 100),
        ("done at once", "finished", False, None, 800_000, None, 100),
    ]
    times = [(it.started_at, it.updated_at, it.finished_at) for it in (found[0], found[-2])]
    began, updated = "2026-11-27T12:00:00+00:00", "2026-11-27T12:00:08+00:00"
    assert times == [(began, updated, None), (began, updated, "2026-11-27T12:00:10+00:00")]


async def test_what_is_not_finished_can_be_paused_and_what_is_paused_resumed(noted: AsyncConnection) -> None:
    async def paused() -> list[str]:
        return [report.table for report in await noted.run_sync(read_reports) if report.paused]

    under_way = [report.table for report in await noted.run_sync(read_reports) if report.state != "finished"]
    assert await noted.run_sync(set_paused, False) == ["asked to pause"]
    assert await paused() == []
    assert sorted(await noted.run_sync(set_paused, True)) == sorted(under_way)
    assert await paused() == under_way
    assert sorted(await noted.run_sync(set_paused, False)) == sorted(under_way)


async def test_what_one_waits_for_and_its_end_are_noted_of_no_other(noted: AsyncConnection) -> None:
    async def known() -> dict[str, tuple[str | None, bool]]:
        rows = await noted.execute(select(columns.table_name, columns.waiting_for, columns.finished_at.is_not(None)))
        return {table: (waiting_for, is_finished) for table, waiting_for, is_finished in rows}

    columns = migration_backfills.c
    number = (await noted.scalars(select(columns.id).where(columns.table_name == "working"))).one()
    state = State(number, ["7"], ["9"], 300, 20, 900, 1000, None)
    before = await known()
    await noted.run_sync(note_waiting, state, "5 sessions that wait for locks")
    assert await known() == before | {"working": ("5 sessions that wait for locks", False)}
    await noted.run_sync(finish, state)
    assert await known() == before | {"working": (None, True)}


async def test_a_request_to_pause_holds_up_its_own_backfill_only(noted: AsyncConnection) -> None:
    columns = migration_backfills.c

    async def reason(table: str) -> tuple[str, str] | None:
        numbers = await noted.scalars(select(columns.id).where(columns.table_name == table))
        return await noted.run_sync(Load().look, numbers.one())

    assert await reason("asked to pause") == ("request", "a request (python -m alembic_online backfill resume ends it)")
    assert await reason("working") is None


async def test_the_wal_is_remembered_from_ten_seconds_ago_until_now(
    noted: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, remembered = Load(), []
    seconds = iter([0, 4, 9, 12, 15, 19, 40])
    monkeypatch.setattr("alembic_online.backfill.load.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    for _ in range(7):
        await noted.run_sync(load.look, 1)
        remembered.append([second for second, _ in load.positions])
    assert remembered == [
        [0], [0, 4], [0, 4, 9], [0, 4, 9, 12], [4, 9, 12, 15], [9, 12, 15, 19], [19, 40],
    ]  # fmt: skip


@pytest.mark.parametrize(("now", "then"), [(9.9, None), (10, "0/1"), (13.9, "0/1"), (14, "0/2")])
async def test_replicas_are_compared_with_where_the_wal_was_at_least_ten_seconds_ago(
    noted: AsyncConnection, monkeypatch: pytest.MonkeyPatch, now: float, then: str | None
) -> None:
    compared: list[str | None] = []

    def note(*execution: Any) -> None:
        compared.append(execution[3][1])

    event.listen(noted.sync_connection, "before_cursor_execute", note)
    monkeypatch.setattr("alembic_online.backfill.load.time", SimpleNamespace(monotonic=lambda: now))
    await noted.run_sync(Load(deque([(0, "0/1"), (4, "0/2"), (8, "0/3")])).look, 1)
    assert compared == [then]


async def test_nothing_is_said_or_paused_where_no_backfill_has_begun(connection: AsyncConnection) -> None:
    assert await connection.run_sync(read_reports) == []
    assert await connection.run_sync(set_paused, True) == []


async def test_what_is_noted_of_a_backfill_is_there_from_its_begin(noted: AsyncConnection) -> None:
    """But for where it is, what it waits for, who works on it, how fast, and its end; each is noted once."""
    columns = "SELECT {} FROM pg_attribute WHERE attrelid = 'migration_backfills'::regclass AND attnum > 0 AND {}"
    unknown = await noted.exec_driver_sql(columns.format("attname", "NOT attnotnull"))
    assert set(unknown.scalars()) == {
        "cursor", "upper_bound", "rows_per_second", "waiting_for", "pid", "finished_at",
    }  # fmt: skip
    times = await noted.exec_driver_sql(columns.format("atttypid::regtype::text", "attname ~ '_at$'"))
    assert set(times.scalars()) == {"timestamp with time zone"}
    numbered = await noted.exec_driver_sql(columns.format("attname", "attidentity = 'a'"))
    assert list(numbered.scalars()) == ["id"]
    keys = "SELECT conname FROM pg_constraint WHERE conrelid = 'migration_backfills'::regclass AND contype = 'p'"
    assert len((await noted.exec_driver_sql(keys)).all()) == 1
    with pytest.raises(IntegrityError, match="unique"):
        await note(noted, "again", definition="working")
