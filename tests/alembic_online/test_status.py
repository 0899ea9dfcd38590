"""`alembic-online status` as people read it."""

from dataclasses import replace

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from alembic_online.commands.status import _show
from alembic_online.project import Project
from alembic_online.runs.status import Move, Status, read_status
from local.postgres import Server
from tests.alembic_online.sessions import look, session
from tests.alembic_online.zoo import ZOO

REVISION = "b6e3af89b7ce"
ROLE = "zoo_migrator@172.18.0.5"


def shown(width: int, revision: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    move = Move(revision, "downgrade", "2026-11-26T22:19:27.123456+00:00", 312.155, 10.001, 12, ROLE, "10.14.0")
    found = Status(
        current=[revision],
        head=[revision],
        pending=[revision],
        contract={revision: "10.14.0"},
        floor="10.13.0",
        releases={"10.14.0": 12},
        workers={"10.14.0": 12},
        history=[move],
        lock_holder="pid 71 (a migrator)",
        invalid_indexes=[],
        constraints_not_validated=[],
        drift=[],
        drift_not_compared=[],
    )
    _show(found)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("revision", [REVISION, "0042", "a_slug_of_thirty_two_characters_"])
def test_it_fits_a_terminal_of_80_columns_with_no_word_broken(
    revision: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(80, revision, monkeypatch, capsys)
    assert max(map(len, lines)) <= 80
    heading, move = lines[-2:]
    assert heading.split()[:4] == ["revision", "direction", "at", "seconds"]
    assert move.split()[:5] == [revision, "downgrade", "2026-11-26", "22:19", "312.155"]
    assert heading.split()[-1] == "release"
    assert move.split()[-1] == "10.14.0"


def test_a_wide_one_also_says_who_it_was(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(120, REVISION, monkeypatch, capsys)[-1].split()[-4:] == ["10.001", "12", "10.14.0", ROLE]


REVISIONS = [found.revision for found in ZOO.scripts.walk_revisions()][::-1]
MOVE = "INSERT INTO migration_history (revision, direction) VALUES ($1, $2)"
BROKEN = """
CREATE SCHEMA tours; CREATE SCHEMA others;
CREATE TABLE tours.guides (id int); CREATE TABLE others.t (id int);
CREATE DOMAIN positive AS int;
ALTER DOMAIN positive ADD CONSTRAINT above CHECK (value > 0) NOT VALID;
ALTER TABLE animals ADD CONSTRAINT named CHECK (name <> 'x') NOT VALID;
ALTER TABLE tours.guides ADD CONSTRAINT numbered CHECK (id > 0) NOT VALID;
ALTER TABLE others.t ADD CONSTRAINT numbered CHECK (id > 0) NOT VALID;
CREATE INDEX ix_b ON animals (name); CREATE INDEX ix_a ON animals (name);
CREATE INDEX ix_guides ON tours.guides (id); CREATE INDEX ix_others ON others.t (id);
UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text ~ 'ix_(a$|b$|guides|others)';
"""


async def status(server: Server, database: str, project: Project = ZOO) -> Status:
    def work(connection: Connection) -> Status:
        return read_status(connection, project, "somebody")

    found: Status = await look(server, database, work)
    return found


async def test_it_names_what_is_not_valid_in_the_models_schemas_in_order(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(BROKEN)
    found = await status(server, database)
    assert found.invalid_indexes == ["ix_a", "ix_b"]
    assert found.constraints_not_validated == ["above on positive", "named on animals"]
    metadata = sa.MetaData()
    sa.Table("guides", metadata, schema="tours")
    found = await status(server, database, replace(ZOO, metadata=metadata))
    assert found.invalid_indexes == ["ix_a", "ix_b", "tours.ix_guides"]
    assert found.constraints_not_validated == ["above on positive", "named on animals", "numbered on tours.guides"]
    assert found.lock_holder == "somebody"


async def test_a_move_has_what_is_known_of_it(server: Server, database: str, admin: asyncpg.Connection) -> None:
    await admin.execute(MOVE, REVISIONS[-1], "upgrade")
    await admin.execute(
        "UPDATE migration_history SET duration = '90 s', waited = '1.5 s', attempts = 2, applied_by = 'me',"
        " release = '1' WHERE revision = $1",
        REVISIONS[0],
    )
    found = (await status(server, database)).as_dict()["history"]
    bare, *_, full = found
    assert {name: bare[name] for name in bare if name != "applied_at"} == {
        "revision": REVISIONS[-1],
        "direction": "upgrade",
        "seconds": None,
        "waited_seconds": None,
        "attempts": None,
        "applied_by": None,
        "release": None,
    }
    assert {name: full[name] for name in full if name != "applied_at"} == {
        "revision": REVISIONS[0],
        "direction": "upgrade",
        "seconds": 90,
        "waited_seconds": 1.5,
        "attempts": 2,
        "applied_by": "me",
        "release": "1",
    }
    assert all("T" in move["applied_at"] for move in found)


async def test_sessions_and_workers_are_counted_by_release(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "INSERT INTO migration_workers (id, application, release, host)"
        " SELECT gen_random_uuid(), 'api', '0.3.0', '' FROM generate_series(1, 3)"
    )
    async with session(server, database, "api@0.4.0"):
        found = await status(server, database)
    assert (found.releases, found.workers) == ({"0.4.0": 1}, {"0.3.0": 3})


PENDING: dict[str, tuple[str | None, list[str], list[str]]] = {
    "at the newest": (REVISIONS[-1], [], []),
    "behind": (REVISIONS[0], [], REVISIONS[1:]),
    "never migrated": (None, [], REVISIONS),
    "ahead": ("newer", REVISIONS, []),
    "ahead, and one was taken back": ("newer", REVISIONS[:-1], REVISIONS[-1:]),
}


@pytest.mark.parametrize(("at", "applied", "pending"), PENDING.values(), ids=PENDING)
async def test_what_is_pending_is_told_by_where_the_database_is(  # noqa: PLR0913, PLR0917 - a table
    server: Server,
    database: str,
    admin: asyncpg.Connection,
    at: str | None,
    applied: list[str],
    pending: list[str],
) -> None:
    await admin.execute("DELETE FROM migration_history; DELETE FROM alembic_version")
    if at is not None:
        await admin.execute("INSERT INTO alembic_version VALUES ($1)", at)
    moves = [(revision, "upgrade" if revision in applied else "downgrade") for revision in REVISIONS if applied]
    await admin.executemany(MOVE, moves)
    found = await status(server, database)
    assert (found.current, found.head, found.pending) == ([at] if at else [], REVISIONS[-1:], pending)
    assert found.drift == ([] if at == REVISIONS[-1] else None)


async def test_drift_that_can_not_be_looked_for_is_said_in_a_line_and_the_rest_is_there(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute("REVOKE ALL ON migration_schema FROM PUBLIC; ALTER TABLE migration_schema OWNER TO postgres")
    found = await status(server, database)
    assert found.drift == []
    assert found.drift_not_compared == ["permission denied for table migration_schema"]
    assert found.current == REVISIONS[-1:]


async def test_drift_is_told_where_it_was_looked_for(server: Server, database: str, admin: asyncpg.Connection) -> None:
    await admin.execute("ALTER TABLE animals ADD COLUMN wild boolean")
    found = await status(server, database)
    assert (found.drift, found.drift_not_compared) == (["not in the models: column animals.wild"], [])
    await admin.execute("DELETE FROM migration_schema")
    assert (await status(server, database)).drift_not_compared == [
        "changes by hand: no run has recorded the schema since; the next one does"
    ]
