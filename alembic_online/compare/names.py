"""Names that Postgres would truncate: the models would never find again what they have made."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import PriorityDispatchResult
from sqlalchemy.exc import IdentifierError

from alembic_online.errors import ConfigurationError
from alembic_online.expressions import DIALECT
from alembic_online.postgres import NAME_BYTES


def require_short(context: AutogenContext, _: ops.UpgradeOps) -> PriorityDispatchResult:
    """Alembic's comparator of everything, before all others.

    ConfigurationError if the models name something by more than Postgres keeps. Names by a naming convention are
    truncated by SQLAlchemy; to 63 characters, though, which may be more bytes.
    """
    for table in context.table_key_to_table.values():
        for name in _names(table):
            if len(name.encode()) > NAME_BYTES:
                raise ConfigurationError(
                    f"the models name something of {table.name} {name!r}, which has {len(name.encode())} bytes: "
                    f"Postgres keeps {NAME_BYTES}, so give it a shorter name"
                )
    return PriorityDispatchResult.CONTINUE


def _names(table: sa.Table) -> Iterator[str]:
    yield table.name
    yield from (column.name for column in table.columns)
    of_columns = (each for column in table.columns for each in column.constraints)
    items: list[Any] = [*table.constraints, *table.indexes, *of_columns]
    for item in (each for each in items if isinstance(each.name, str)):
        try:
            name = DIALECT.identifier_preparer.format_constraint(item, _alembic_quote=False)
        except IdentifierError:
            name = str(item.name)
        yield name or ""
