"""What the models say of keys, which a statement does not show."""

from collections.abc import Iterator
from functools import lru_cache

from sqlalchemy import MetaData, Table, UniqueConstraint

from alembic_online.sql import ForeignKey, Schema
from alembic_online.sql.names import qualified

CHANGES_ROWS = ("CASCADE", "SET NULL", "SET DEFAULT")


@lru_cache(maxsize=8)
def schema_of(metadata: MetaData) -> Schema:
    """The unique columns of each table of the models, and the foreign keys by which a DELETE changes other rows."""
    tables = metadata.tables.values()
    return Schema(
        keys={_name(table): frozenset(filter(None, _keys(table))) for table in tables},
        foreign_keys=tuple(key for table in tables for key in _foreign_keys(table)),
    )


def _keys(table: Table) -> Iterator[frozenset[str]]:
    yield frozenset(column.name for column in table.primary_key)
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield frozenset(column.name for column in constraint.columns)


def _foreign_keys(table: Table) -> Iterator[ForeignKey]:
    for key in table.foreign_key_constraints:
        if str(key.ondelete).upper().startswith(CHANGES_ROWS):
            columns = tuple(column.name for column in key.columns)
            targets = [element.target_fullname.split(".") for element in key.elements]
            referred, name = qualified(*targets[0][:-1]), str(key.name or "_".join(columns))
            others = tuple(target[-1] for target in targets)
            yield ForeignKey(name, _name(table), columns, referred, others, changes_on_delete=True)


def _name(table: Table) -> str:
    return qualified(table.schema or "", table.name)
