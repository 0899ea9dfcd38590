"""What the schemas held after the last run: the table `migration_schema`, which only runs write.

What differs from it was changed by hand. Guarantees: a run keeps what was changed by hand before it, unless a revision
has changed the same item; a run that is interrupted records nothing, and the next one finishes for both.

While a run is under way, the table has only what had been changed by hand when it began, as rows with `by_hand`:
`definition` is what the run before had recorded, `found` what was there instead; NULL for nothing.
"""

from typing import NamedTuple

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Boolean, Column, Connection, MetaData, Table, Text, delete, insert, inspect, select
from sqlalchemy.schema import CreateTable

from alembic_online.drift.inventory import Inventory, Item, default_schema, parameters, query
from alembic_online.drift.models import HELD
from alembic_online.project import Project
from alembic_online.runs.history import SCHEMA_RECORD, read_only

# Without a key: it is only read and written as a whole, and the names of functions may be too long for an index.
migration_schema = Table(
    SCHEMA_RECORD,
    MetaData(),
    Column("kind", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("definition", Text),
    Column("found", Text),
    Column("by_hand", Boolean, nullable=False, server_default="false"),
)
_c = migration_schema.c
SERVER = Item("server", "", "")

_INSERT = f"INSERT INTO {SCHEMA_RECORD} (kind, object, part, definition)\n"  # noqa: S608 - a constant
_COMPARED = f"""\
SELECT kind, object, part, now.definition, was.definition AS was, now.definition IS DISTINCT FROM was.definition
FROM (
{{query}}
) now FULL JOIN {SCHEMA_RECORD} was USING (kind, object, part)
WHERE kind = ANY ($3) OR now.definition IS DISTINCT FROM was.definition"""  # noqa: S608 - constants


class Change(NamedTuple):
    """An item that is not as recorded; None: it is, or was, not there."""

    item: Item
    was: str | None
    now: str | None


class NotRecorded(Exception):
    """There is nothing to compare with; the message says why."""


def is_recorded(connection: Connection) -> bool:
    """Whether the schemas were recorded after the last run."""
    return inspect(connection).has_table(SCHEMA_RECORD) and bool(
        connection.scalar(select(_c.by_hand.is_(False)).limit(1))
    )


def read_changes(connection: Connection, project: Project) -> tuple[Inventory, list[Change]]:
    """What the models can be compared with, and all changes since the last run; NotRecorded if they aren't known."""
    if not is_recorded(connection):
        raise NotRecorded("no run has recorded the schema since; the next one does")
    rows = connection.exec_driver_sql(
        _COMPARED.format(query=query()), (*parameters(connection, project), sorted(HELD))
    ).all()
    changes = [Change(Item(*row[:3]), row[4], row[3]) for row in rows if row[5]]
    if server := next((change for change in changes if change.item == SERVER), None):
        raise NotRecorded(f"the schema was recorded with {server.was}, and this is {server.now}; the next run records it")
    items = {Item(*row[:3]): row[3] for row in rows if row[3] is not None}
    return Inventory(items, default_schema(connection)), changes


def begin(connection: Connection, project: Project) -> None:
    """Note what was changed by hand so far, before a run changes more; commits."""
    if is_recorded(connection):
        try:
            _, changes = read_changes(connection, project)
        except NotRecorded:
            changes = []
        connection.execute(delete(migration_schema))
        rows = [
            {**change.item._asdict(), "definition": change.was, "found": change.now, "by_hand": True}
            for change in changes
        ]
        if rows:
            connection.execute(insert(migration_schema), rows)
    connection.commit()


def finish(context: MigrationContext, project: Project, *, accept: bool) -> None:
    """Record what the schemas hold now, except for what was changed by hand before the run; commits.

    With `accept`, that is recorded, too.
    """
    connection = context.connection
    assert connection is not None
    rows = []
    if not accept and inspect(connection).has_table(SCHEMA_RECORD):
        rows = list(connection.execute(select(migration_schema).where(_c.by_hand)))
    forget(context)
    connection.exec_driver_sql(_INSERT + query(), tuple(parameters(connection, project)))
    for row in rows:
        this = (_c.kind == row.kind, _c.object == row.object, _c.part == row.part)
        if connection.scalar(select(_c.definition).where(*this)) == row.found:  # no revision has changed it
            connection.execute(delete(migration_schema).where(*this))
            if row.definition is not None:
                item = {"kind": row.kind, "object": row.object, "part": row.part}
                connection.execute(insert(migration_schema).values(**item, definition=row.definition))
    connection.commit()


def forget(context: MigrationContext) -> None:
    """Create the table, if it is not there, and empty it: a run that follows records what it finds."""
    context.execute(CreateTable(migration_schema, if_not_exists=True))
    context.execute(read_only(context, SCHEMA_RECORD))
    context.execute(delete(migration_schema))
