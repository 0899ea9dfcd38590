"""Sessions in the way of one that waits: how they are named, and when."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from alembic_online.runs import blockers as runs_blockers
from alembic_online.runs.blockers import Blockers, watch
from local.postgres import Server
from tests.alembic_online.sessions import engine_of, session, under_way, until
from tests.conftest import WAITING

READ = "SELECT 'personal' FROM animals"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_blockers, "POLL_SECONDS", 0.01)


@asynccontextmanager
async def watched(
    server: Server, database: str, asked: list[str], waiting: asyncpg.Connection
) -> AsyncIterator[Blockers]:
    """What is asked while the block runs is added to `asked`."""
    engine = engine_of(server, database)
    async with engine.connect() as observer:
        await observer.execution_options(isolation_level="AUTOCOMMIT")
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *found: asked.append(found[2]))
        tasks = asyncio.all_tasks()
        async with watch(observer, waiting.get_server_pid()) as seen:
            yield seen
        assert asyncio.all_tasks() == tasks, "it goes on after the block"


@asynccontextmanager
async def waiting(server: Server, database: str, admin: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A session that waits for the table."""
    async with session(server, database) as found, under_way(found, "BEGIN; LOCK TABLE animals"):
        await until(admin, WAITING)
        yield found


@pytest.mark.parametrize(("debug", "query"), [("1", f": {READ}"), ("0", "")])
async def test_they_are_named_with_what_they_do_and_their_query_only_with_debug(  # noqa: PLR0913, PLR0917 - fixtures
    server: Server,
    database: str,
    admin: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    debug: str,
    query: str,
) -> None:
    monkeypatch.setenv("MIGRATOR_DEBUG", debug)
    async with session(server, database, "somebody") as one, session(server, database, "") as two:
        for each in (one, two):
            await each.execute("BEGIN")
            await each.execute(READ)
        names = {one.get_server_pid(): "somebody", two.get_server_pid(): "client backend"}
        async with waiting(server, database, admin) as waits, watched(server, database, [], waits) as seen:
            assert seen.names == ["sessions that ended before they could be named"]
            async with asyncio.timeout(60):
                while len(seen.sessions) < 2:
                    await asyncio.sleep(0.01)
    assert seen.autovacuum is False
    assert seen.names == [*seen.sessions.values()]
    for pid, name in names.items():
        assert re.fullmatch(
            rf"pid {pid} \({name}, idle in transaction, since \d\d:\d\d:\d\d\){re.escape(query)}", seen.sessions[pid]
        )


async def test_one_that_is_in_the_way_for_long_is_named_at_once_and_once(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    asked: list[str] = []
    async with session(server, database, "somebody") as reader:
        await reader.execute("BEGIN")
        await reader.execute(READ)
        with capture_logs() as log:
            async with waiting(server, database, admin) as waits, watched(server, database, asked, waits):
                async with asyncio.timeout(60):
                    while not log:
                        await asyncio.sleep(0.001)
                    polls = len(asked)
                    while len(asked) < 60:
                        await asyncio.sleep(0.01)
        pid = reader.get_server_pid()
    assert [line["event"] for line in log] == ["waiting for a session to end"]
    assert log[0]["session"].startswith(f"pid {pid} (somebody, ")
    assert 20 <= polls <= 25  # it was asked at once, and may have been asked again since


async def test_while_nobody_is_in_the_way_nobody_is_named(server: Server, database: str) -> None:
    asked: list[str] = []
    with capture_logs() as log:
        async with session(server, database) as works, watched(server, database, asked, works) as seen:
            async with asyncio.timeout(60):
                while len(asked) < 25:
                    await asyncio.sleep(0.01)
    assert seen.sessions == {}
    assert log == []


async def test_it_is_asked_ten_times_a_second_at_most(
    server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    asked: list[str] = []
    async with session(server, database) as works, watched(server, database, asked, works):
        await asyncio.sleep(0.5)
    assert len(asked) <= 7
