"""The history: what a move writes, who may write to it, and what is read from it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from alembic_online.errors import ChangedRevision, UnknownRevision
from alembic_online.project import Project
from alembic_online.runs.floor import complete_floor
from alembic_online.runs.history import for_app, is_ahead, last_moves, record, require_unchanged
from alembic_online.runs.steps import Progress
from alembic_online.runs.workers import create_workers, find_workers
from local.postgres import Server
from tests.alembic_online.sessions import look
from tests.alembic_online.zoo import ZOO

CONTRACT = 'phase = "contract"\nsafe_from_release = "{}"\n'
COLUMNS = (
    "SELECT column_name, data_type, is_nullable = 'YES', identity_generation FROM information_schema.columns"
    " WHERE table_name = $1 ORDER BY ordinal_position"
)
KEY = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'p'"
MAY = "SELECT array_agg(p) FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) p WHERE has_table_privilege($1, $2, p)"


@dataclass
class Line:
    """Revisions `a`, `b` and `c` in a folder, of which `b` and `c` take something away, and a database without any."""

    server: Server
    database: str
    scripts: ScriptDirectory

    @property
    def project(self) -> Project:
        return replace(ZOO, scripts=self.scripts)

    def context(self, connection: Connection, **options: Any) -> MigrationContext:
        options = {"script": self.scripts, "project": self.project, **options}
        return MigrationContext.configure(connection, opts=options)

    async def work(self, do: Callable[[Connection], Any]) -> Any:
        return await look(self.server, self.database, do)

    async def move(self, step: StampStep, *heads: str, progress: Progress | None = None) -> None:
        """As Alembic does it: the revision's work, its row, and the commit."""

        def write(connection: Connection) -> None:
            context = self.context(connection, progress=progress)
            context._ensure_version_table()  # noqa: SLF001 - as Alembic's own run does
            context.execute("DELETE FROM alembic_version")
            for head in heads:
                context.execute(f"INSERT INTO alembic_version VALUES ('{head}')")
            record(context, step.info, heads, {})
            connection.commit()

        await self.work(write)

    def stamp(self, old: str | None, new: str | None) -> StampStep:
        return StampStep(old, new, new is not None, branch_move=False, revision_map=self.scripts.revision_map)


@pytest.fixture
def line(server: Server, empty_database: str, tmp_path: Path) -> Line:
    (tmp_path / "versions").mkdir()
    previous = None
    for name, declared in (("a", ""), ("b", CONTRACT.format("0.4.0")), ("c", CONTRACT.format("0.5.0"))):
        body = f"revision = {name!r}\ndown_revision = {previous!r}\n{declared}def upgrade(): pass\n"
        (tmp_path / "versions" / f"{name}.py").write_text(body)
        previous = name
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "os")
    return Line(server, empty_database, ScriptDirectory.from_config(config))


@pytest.fixture
async def db(server: Server, empty_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the database of `line`."""
    connection = await asyncpg.connect(server.url("postgres", empty_database))
    yield connection
    await connection.close()


async def rows(db: asyncpg.Connection) -> list[tuple[str, str, str | None]]:
    found = await db.fetch("SELECT revision, direction, floor FROM migration_history ORDER BY id")
    return [(row["revision"], row["direction"], row["floor"]) for row in found]


async def test_a_row_is_written_for_each_revision_that_a_step_passes(line: Line, db: asyncpg.Connection) -> None:
    """Each with the floor of the schema after the step, also where that goes back."""
    await line.move(line.stamp(None, "c"), "c")
    await line.move(line.stamp("c", "a"), "a")
    await line.move(line.stamp("a", None))
    up = [(name, "upgrade", "0.5.0") for name in "abc"]
    down = [("c", "downgrade", None), ("b", "downgrade", None), ("a", "downgrade", None)]
    assert await rows(db) == [*up, *down]


async def test_a_step_that_is_no_stamp_has_its_own_revision_and_how_it_went(line: Line, db: asyncpg.Connection) -> None:
    progress = Progress("1.2.3")
    progress.begin("a")
    progress.begin("a")
    script = line.scripts.get_revision("a")
    assert script is not None
    step = RevisionStep.upgrade_from_script(line.scripts.revision_map, script)
    await line.move(step, "a", progress=progress)  # type: ignore[arg-type]
    [row] = await db.fetch("SELECT * FROM migration_history")
    assert (row["revision"], row["direction"], row["release"], row["attempts"]) == ("a", "upgrade", "1.2.3", 2)
    assert row["checksum"] == hashlib.sha256(Path(script.path).read_bytes()).hexdigest()
    assert row["applied_by"].startswith("zoo_migrator@")
    assert row["duration"].total_seconds() < 3600
    assert row["waited"].total_seconds() < 3600
    assert row["started_at"] == progress.started_at


async def test_what_is_recorded_without_a_run_leaves_out_how_it_went(line: Line, db: asyncpg.Connection) -> None:
    await line.move(line.stamp(None, "a"), "a")
    [row] = await db.fetch("SELECT * FROM migration_history")
    assert [row[name] for name in ("started_at", "duration", "attempts", "waited", "release")] == [None] * 5
    assert row["checksum"]
    assert row["applied_at"]


async def test_its_table_and_that_of_the_workers_are_as_they_are_documented(line: Line, db: asyncpg.Connection) -> None:
    await line.move(line.stamp(None, "a"), "a")
    await line.work(lambda connection: create_workers(line.context(connection)))
    time, optional = "timestamp with time zone", True
    assert [tuple(row) for row in await db.fetch(COLUMNS, "migration_history")] == [
        ("id", "bigint", not optional, "ALWAYS"),
        ("revision", "text", not optional, None),
        ("direction", "text", not optional, None),
        ("checksum", "text", optional, None),
        ("started_at", time, optional, None),
        ("applied_at", time, not optional, None),
        ("duration", "interval", optional, None),
        ("attempts", "integer", optional, None),
        ("waited", "interval", optional, None),
        ("applied_by", "text", optional, None),
        ("release", "text", optional, None),
        ("floor", "text", optional, None),
    ]
    assert [tuple(row) for row in await db.fetch(COLUMNS, "migration_workers")] == [
        ("id", "uuid", not optional, None),
        ("application", "text", not optional, None),
        ("release", "text", not optional, None),
        ("host", "text", not optional, None),
        ("started_at", time, not optional, None),
        ("seen_at", time, not optional, None),
    ]
    for table in ("migration_history", "migration_workers"):
        assert await db.fetchval(KEY, table) == "PRIMARY KEY (id)"


async def test_the_apps_role_may_read_it_and_write_only_rows_of_its_workers(line: Line, db: asyncpg.Connection) -> None:
    await line.move(line.stamp(None, "a"), "a")
    await line.work(lambda connection: create_workers(line.context(connection)))
    for table in ("migration_history", "alembic_version"):
        assert await db.fetchval(MAY, "zoo_api", table) == ["SELECT"]
    assert await db.fetchval(MAY, "zoo_api", "migration_workers") == ["SELECT", "DELETE"]
    may = "SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'migration_workers'"
    writes = "::regclass AND attnum > 0 AND has_column_privilege('zoo_api', attrelid, attnum, $1)"
    assert await db.fetchval(may + writes, "UPDATE") == ["seen_at"]
    assert await db.fetchval(may + writes, "INSERT") == ["id", "application", "release", "host"]


async def test_the_table_of_workers_is_made_once_and_nothing_is_left_open(line: Line, db: asyncpg.Connection) -> None:
    def work(connection: Connection) -> None:
        assert find_workers(connection, "api") == []
        connection.rollback()
        for _ in range(2):
            create_workers(line.context(connection))
        connection.rollback()
        assert find_workers(connection, "api") == []

    await line.work(work)
    await db.execute("GRANT INSERT ON migration_workers TO zoo_api")
    await line.work(lambda connection: create_workers(line.context(connection)))
    assert "INSERT" in await db.fetchval(MAY, "zoo_api", "migration_workers"), "it was there, and nothing is changed"


async def test_a_role_may_have_any_name_may_not_exist_and_need_not_be_named(line: Line, db: asyncpg.Connection) -> None:
    odd = f'it\'s "odd" {uuid4().hex}'
    quoted = odd.replace('"', '""')

    def grant(role: str | None) -> Callable[[Connection], None]:
        project = replace(line.project, reader_role=role)

        def work(connection: Connection) -> None:
            context = line.context(connection, project=project)
            context.execute("CREATE TABLE IF NOT EXISTS t ()")
            context.execute(for_app(context, "GRANT SELECT, INSERT ON t TO {role};"))
            connection.commit()

        return work

    await db.execute(f'CREATE ROLE "{quoted}"')
    try:
        await line.work(grant(odd))
        assert await db.fetchval(MAY, odd, "t") == ["SELECT", "INSERT"]
    finally:
        await db.execute(f'DROP OWNED BY "{quoted}"; DROP ROLE "{quoted}"')
    await line.work(grant(odd))
    await line.work(grant(None))


class TestChanged:
    def edit(self, line: Line, *names: str, text: str = "# edited\n") -> None:
        for name in names:
            file = Path(line.scripts.dir) / "versions" / f"{name}.py"
            file.write_text(file.read_text() + text)

    def said(self, line: Line) -> Callable[[Connection], str | None]:
        def work(connection: Connection) -> str | None:
            try:
                require_unchanged(connection, line.scripts)
            except ChangedRevision as error:
                return str(error)
            finally:
                assert not connection.in_transaction()  # Alembic begins its own
            return None

        return work

    async def test_the_newest_one_is_named(self, line: Line) -> None:
        await line.move(line.stamp(None, "b"), "b")
        assert await line.work(self.said(line)) is None
        self.edit(line, "a", "b", "c")
        assert await line.work(self.said(line)) == (
            "revision b was applied, but its file has changed since: restore the file and put the change into a new "
            "revision, or take the revision back first (alembic downgrade)"
        )

    async def test_one_that_is_taken_back_or_has_no_checksum_may_change(
        self, line: Line, db: asyncpg.Connection
    ) -> None:
        await line.move(line.stamp(None, "c"), "c")
        await line.move(line.stamp("c", "b"), "b")
        self.edit(line, "c")
        assert await line.work(self.said(line)) is None
        self.edit(line, "b")
        await db.execute("UPDATE migration_history SET checksum = NULL WHERE revision = 'b'")
        assert await line.work(self.said(line)) is None
        await db.execute("INSERT INTO migration_history (revision, direction, checksum) VALUES ('x', 'upgrade', '0')")
        assert await line.work(self.said(line)) is None, "it is not of this release"

    async def test_a_waiver_and_ends_of_lines_are_no_change(self, line: Line) -> None:
        await line.move(line.stamp(None, "a"), "a")
        self.edit(line, "a", text="# lint: allow rename: it was looked at\n")
        file = Path(line.scripts.dir) / "versions" / "a.py"
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert await line.work(self.said(line)) is None


class TestAhead:
    def tells(self, line: Line) -> Callable[[Connection], bool]:
        def work(connection: Connection) -> bool:
            try:
                return is_ahead(connection, line.scripts)
            finally:
                assert not connection.in_transaction()  # Alembic begins its own

        return work

    async def test_a_database_is_ahead_if_its_revision_is_recorded_but_not_known(
        self, line: Line, db: asyncpg.Connection
    ) -> None:
        assert await line.work(self.tells(line)) is False
        await line.move(line.stamp(None, "a"), "a")
        assert await line.work(self.tells(line)) is False
        await db.execute("UPDATE alembic_version SET version_num = 'newer'")
        with pytest.raises(UnknownRevision) as caught:
            await line.work(self.tells(line))
        assert str(caught.value).startswith(
            "the database is at revision newer, unknown to this release and to migration_history: find out who"
        )
        await db.execute("INSERT INTO migration_history (revision, direction) VALUES ('newer', 'upgrade')")
        assert await line.work(self.tells(line)) is True

    async def test_it_is_not_where_nothing_was_recorded(self, line: Line, db: asyncpg.Connection) -> None:
        await db.execute("CREATE TABLE alembic_version (version_num text)")
        await db.execute("INSERT INTO alembic_version VALUES ('foreign'); ALTER TABLE alembic_version OWNER TO zoo_api")
        await db.execute("GRANT SELECT ON alembic_version TO zoo_migrator")
        with pytest.raises(UnknownRevision, match="revision foreign"):
            await line.work(self.tells(line))


async def test_the_newest_move_of_each_revision_is_read_the_newest_of_all_first(
    line: Line, db: asyncpg.Connection
) -> None:
    """Also from a table that an older release of the tool has made."""

    def moves(connection: Connection) -> list[tuple[str, str]]:
        found = [(row.revision, row.direction) for row in last_moves(connection).values()]
        assert not connection.in_transaction()  # Alembic begins its own
        return found

    assert await line.work(moves) == []
    await line.move(line.stamp(None, "b"), "b")
    await line.move(line.stamp("b", "a"), "a")
    await db.execute("ALTER TABLE migration_history DROP COLUMN floor")
    assert await line.work(moves) == [("b", "downgrade"), ("a", "upgrade")]


class TestFloor:
    """Of a table that an older release of the tool has made, or to which it has added."""

    async def test_its_newest_move_gets_it_and_no_other(self, line: Line, db: asyncpg.Connection) -> None:
        await line.work(lambda connection: complete_floor(line.context(connection)))  # there is no table yet
        await line.move(line.stamp(None, "a"), "a")
        await line.move(line.stamp("a", "b"), "b")
        for _ in range(2):
            await db.execute("ALTER TABLE migration_history DROP COLUMN floor")
            await line.work(lambda connection: complete_floor(line.context(connection)))
            assert await rows(db) == [("a", "upgrade", None), ("b", "upgrade", "0.4.0")]

    async def test_the_next_move_adds_the_column(self, line: Line, db: asyncpg.Connection) -> None:
        await line.move(line.stamp(None, "a"), "a")
        await db.execute("ALTER TABLE migration_history DROP COLUMN floor")
        await line.move(line.stamp("a", "c"), "c")
        assert (await rows(db))[-1] == ("c", "upgrade", "0.5.0")

    async def test_where_it_is_right_nothing_is_locked(self, line: Line, db: asyncpg.Connection) -> None:
        await line.move(line.stamp(None, "b"), "b")
        async with db.transaction():
            await db.execute("LOCK TABLE migration_history IN SHARE ROW EXCLUSIVE MODE")
            async with asyncio.timeout(30):
                await line.work(lambda connection: complete_floor(line.context(connection)))
