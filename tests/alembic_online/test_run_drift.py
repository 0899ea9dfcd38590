"""Drift as a run sees it: what it logs, and that nothing but drift itself fails it."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext, RevisionStep
from sqlalchemy import Connection, text
from sqlalchemy.types import UserDefinedType
from sqlalchemy.util import await_only
from structlog.testing import capture_logs

from alembic_online.errors import SchemaDrift
from alembic_online.runs.drift import compare_options, noting_what_was_there, only_warning, record_schema, report_drift
from local.postgres import Server
from tests.alembic_online.sessions import look
from tests.alembic_online.zoo import ZOO
from tests.each import each

WILD = "ALTER TABLE animals ADD COLUMN wild boolean"
SAID = "not in the models: column animals.wild"
FIRST, *_ = ZOO.scripts.walk_revisions()
STEP = RevisionStep(ZOO.scripts.revision_map, FIRST, True)


class Odd(UserDefinedType[Any]):
    """A type that can't be written as SQL."""

    def get_col_spec(self, **_: Any) -> str:
        raise RuntimeError("no such\n  luck")


async def run(server: Server, database: str, work: Callable[[MigrationContext], object]) -> list[Any]:
    """Do this on a connection as a run's; returns what is logged."""

    def do(connection: Connection) -> None:
        context = MigrationContext.configure(connection, opts={"project": ZOO})
        try:
            work(context)
        finally:
            assert not connection.in_transaction(), "it leaves a transaction open"

    with capture_logs() as log:
        await look(server, database, do)
    return log


def drift_is(changes: list[str]) -> dict[str, object]:
    return {"event": "the schema is not as it should be", "changes": changes, "log_level": "warning"}


async def test_a_schema_that_is_as_it_should_be_is_worth_no_word(server: Server, database: str) -> None:
    for fail in (False, True):
        assert await run(server, database, partial(report_drift, project=ZOO, fail=fail)) == []


async def test_it_is_a_warning_and_an_error_where_it_shall_be(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(WILD)
    assert await run(server, database, lambda context: report_drift(context, ZOO, fail=False)) == [drift_is([SAID])]

    def fails(context: MigrationContext) -> None:
        with pytest.raises(SchemaDrift) as caught:
            report_drift(context, ZOO, fail=True)
        assert str(caught.value) == (
            "all revisions are applied, but the schema is not as it should be: undo what was changed by hand, or write "
            f"a revision ({SAID})"
        )
        assert context.connection is not None
        context.connection.rollback()

    assert await run(server, database, fails) == [drift_is([SAID])]


async def test_what_can_not_be_compared_is_said(server: Server, database: str) -> None:
    metadata = sa.MetaData()
    for table in ZOO.metadata.sorted_tables:
        table.to_metadata(metadata)
    metadata.tables["animals"].append_column(sa.Column("odd", Odd()))
    project = replace(ZOO, metadata=metadata)
    [line] = await run(server, database, lambda context: report_drift(context, project, fail=True))
    assert line["event"] == "some of the schema could not be compared"
    assert "no such" in str(line["reasons"])


async def test_a_schema_that_was_not_recorded_is_recorded_by_the_run(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute("DELETE FROM migration_schema")
    written = "SELECT count(*), min(xmin::text::bigint) FROM migration_schema"
    for _ in range(2):
        assert await run(server, database, lambda context: report_drift(context, ZOO, fail=True)) == []
        before = await admin.fetchrow(written)
        assert before["count"] > 0
    assert await run(server, database, lambda context: report_drift(context, ZOO, fail=True)) == []
    assert await admin.fetchrow(written) == before, "once is enough"


@pytest.mark.parametrize("what", [partial(record_schema, accept=True), partial(report_drift, fail=True)])
async def test_a_schema_that_can_not_be_recorded_or_compared_is_a_warning(
    server: Server, database: str, admin: asyncpg.Connection, what: Callable[..., None]
) -> None:
    await admin.execute("REVOKE ALL ON migration_schema FROM PUBLIC; ALTER TABLE migration_schema OWNER TO postgres")
    [line] = await run(server, database, lambda context: what(context, ZOO))
    assert (line["event"], line["log_level"]) == ("drift could not be looked for", "warning")
    assert line["reason"].endswith("permission denied for table migration_schema")


async def test_what_was_changed_before_a_run_that_was_killed_stays_drift(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute("CREATE STATISTICS by_hand ON name, species FROM animals")
    await run(server, database, lambda context: next(iter(noting_what_was_there(lambda *_: [STEP], ZOO)((), context))))
    [line] = await run(server, database, lambda context: report_drift(context, ZOO, fail=False))
    assert line["changes"] == ["added by hand: statistics by_hand"]


async def test_before_the_first_step_and_only_then_what_was_changed_by_hand_is_noted(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute("CREATE STATISTICS by_hand ON name, species FROM animals")

    def work(context: MigrationContext) -> None:
        assert context.connection is not None
        for number, step in enumerate(noting_what_was_there(lambda *_: [STEP, STEP], ZOO)((), context)):
            assert step is STEP
            context.connection.execute(text(f"CREATE STATISTICS made_{number} ON id, name FROM animals"))
            context.connection.commit()

    await run(server, database, work)
    by_hand = "SELECT array_agg(object ORDER BY object) FROM migration_schema WHERE by_hand"
    assert await admin.fetchval(by_hand) == ["public.by_hand"]
    await run(server, database, lambda context: record_schema(context, ZOO, accept=False))
    assert await admin.fetchval(by_hand) is None
    [line] = await run(server, database, lambda context: report_drift(context, ZOO, fail=False))
    assert line["changes"] == ["added by hand: statistics by_hand"]
    await run(server, database, lambda context: record_schema(context, ZOO, accept=True))
    assert await run(server, database, lambda context: report_drift(context, ZOO, fail=False)) == []


async def test_what_can_not_be_noted_is_said_once(server: Server, database: str, admin: asyncpg.Connection) -> None:
    await admin.execute("ALTER TABLE migration_schema OWNER TO postgres")
    steps = noting_what_was_there(lambda *_: [STEP, STEP], ZOO)
    [line] = await run(server, database, lambda context: [*steps((), context)])
    assert line["event"] == "drift could not be looked for"


async def test_without_steps_nothing_is_noted(server: Server, database: str, admin: asyncpg.Connection) -> None:
    await admin.execute("CREATE STATISTICS by_hand ON name, species FROM animals")
    await run(server, database, lambda context: [*noting_what_was_there(lambda *_: [], ZOO)((), context)])
    assert await admin.fetchval("SELECT count(*) FROM migration_schema WHERE by_hand") == 0


@pytest.mark.parametrize(
    ("sql", "reason"),
    [("SELECT 1/0", r"\w+Error: [^\n]*division by zero"), (None, "RuntimeError: no such luck")],
    ids=["in the database", "elsewhere"],
)
async def test_whatever_fails_is_a_warning_with_a_reason_in_a_line(
    server: Server, database: str, sql: str | None, reason: str
) -> None:
    def work(context: MigrationContext) -> None:
        assert context.connection is not None
        with only_warning(context):
            context.connection.execute(text(sql or "SELECT 1"))
            raise RuntimeError("no such\n  luck")

    [line] = await run(server, database, work)
    assert (line["event"], line["log_level"]) == ("drift could not be looked for", "warning")
    assert re.fullmatch(reason, line["reason"])


@pytest.mark.parametrize("is_noticed", [True, False])
async def test_a_connection_that_is_lost_is_one_too(
    server: Server, database: str, admin: asyncpg.Connection, is_noticed: bool
) -> None:
    """Whether the block or only its end finds out."""

    def work(context: MigrationContext) -> None:
        assert context.connection is not None
        with only_warning(context):
            pid = context.connection.scalar(text("SELECT pg_backend_pid()"))
            await_only(admin.execute("SELECT pg_terminate_backend($1, 60000)", pid))
            if is_noticed:
                context.connection.execute(text("SELECT 1"))
            raise RuntimeError("no such luck")

    [line] = await run(server, database, work)
    assert line["event"] == "drift could not be looked for"
    assert ("no such luck" in line["reason"]) is not is_noticed


@each(
    "schemas, name, kind, is_compared",
    [
        ([], "animals", "table", True),
        ([], "migration_history", "table", False),
        ([], "migration_workers", "table", False),
        ([], "migration_history", "index", True),
        ([], "animals", "column", True),
        ([], None, "schema", True),
        ([], "tours", "schema", False),
        (["tours"], "tours", "schema", True),
        (["tours"], "others", "schema", False),
        (["tours"], None, "schema", True),
        (["tours"], "guides", "table", True),
    ],
)
def test_what_is_compared_is_of_the_models_schemas_and_not_the_tools_own(
    schemas: list[str], name: str | None, kind: str, is_compared: bool
) -> None:
    metadata = sa.MetaData()
    for schema in schemas:
        sa.Table("guides", metadata, sa.Column("id", sa.Integer), schema=schema)
    options = compare_options(replace(ZOO, metadata=metadata))
    assert options["include_name"](name, kind, {}) is is_compared
    assert options["include_schemas"] is bool(schemas)
    assert options["compare_server_default"] is True
