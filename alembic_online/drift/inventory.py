"""What the schemas of a database hold, as its catalogs tell it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection

from alembic_online.project import Project
from alembic_online.runs.history import OWN_TABLES

# What exists by itself; all other kinds are parts or properties of something.
OBJECTS = {
    "table", "view", "materialized view", "sequence", "statistics", "function", "procedure", "aggregate", "enum",
    "domain", "range", "type", "schema", "extension", "event trigger",
}  # fmt: skip
OF_COLUMNS = {"default", "generated", "identity"}


class Item(NamedTuple):
    """Something that a schema holds: `column`, `public.animals`, `name`. `part` is empty if it is the object itself."""

    kind: str
    object: str
    part: str


@dataclass(frozen=True)
class Inventory:
    """The items, each with its definition in the words of Postgres. `schema` is that of tables that name none."""

    items: Mapping[Item, str]
    schema: str

    def name(self, item: Item) -> str:
        """The item, for people: `index ix_animals_name on animals`."""
        kind, of, part = item
        of = self.short(of)
        if kind == "column" or (kind == "comment" and part):
            return f"{'comment on ' if kind == 'comment' else ''}column {of}.{part}"
        if kind in OF_COLUMNS:
            return f"{kind if kind != 'generated' else 'generated expression'} of {of}.{part}"
        if kind in OBJECTS:
            return f"{kind} {of}"
        if kind == "privileges":
            return f"privileges of {part} on {of}"
        return f"{kind} {part} on {of}" if part else f"{kind} {'on' if kind == 'comment' else 'of'} {of}"

    def short(self, text: str) -> str:
        """Without the name of the schema that goes without saying."""
        return text.replace(f"{self.schema}.", "")


@cache
def query() -> str:
    """The query for all items; its parameters are the schemas, and tables to leave out."""
    return Path(__file__).with_suffix(".sql").read_text()


def parameters(connection: Connection, project: Project) -> tuple[Sequence[str], Sequence[str]]:
    """The parameters of the query."""
    return sorted({*project.schemas, default_schema(connection)}), [*OWN_TABLES, "alembic_version"]


def default_schema(connection: Connection) -> str:
    """The schema of tables that name none."""
    schema: Any = connection.dialect.default_schema_name
    return str(schema)


def read_inventory(connection: Connection, project: Project) -> Inventory:
    """All that the project's schemas hold."""
    rows = connection.exec_driver_sql(query(), tuple(parameters(connection, project)))
    return Inventory({Item(*row[:3]): row[3] for row in rows}, default_schema(connection))
