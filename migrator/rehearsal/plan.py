"""What the plan says of the pending revisions."""

from collections.abc import Mapping, Sequence

from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from migrator.effects import find_effects
from migrator.rehearsal.compare import Planned
from migrator.statements import NotSql, read_statements


def read_plan(
    connection: Connection, scripts: ScriptDirectory, revisions: Sequence[str]
) -> tuple[Mapping[str, Sequence[Planned] | None], dict[str, str]]:
    """By revision: its statements, and why they are not known where they are None."""
    plan: dict[str, Sequence[Planned] | None] = {}
    unknown: dict[str, str] = {}
    for revision in revisions:
        try:
            found = read_statements(scripts, revision, connection.dialect.server_version_info)
        except NotSql as error:
            plan[revision], unknown[revision] = None, str(error)
        else:
            plan[revision] = [Planned(one.sql, one.line, one.operation, find_effects(one.sql)) for one in found]
    return plan, unknown
