"""Rows that Postgres itself writes as JSON: for lists, of which nothing is looked at before a client gets them.

To make a hundred rows into objects, and those into JSON, takes Python a good deal longer than it takes Postgres to
write them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import JSON, ColumnElement, DateTime, Subquery, Text, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute

from api.models.base import Base

# Of timestamps: RFC 3339, as pydantic writes it, which is without a fraction where that is nothing.
UTC: ColumnElement[str] = literal_column("'UTC'")
RFC_3339: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""")
NO_FRACTION: ColumnElement[str] = literal_column("'.000000'")
NOTHING: ColumnElement[str] = literal_column("''")


class JsonRow(NamedTuple):
    """A record's id, and the record."""

    id: int | UUID
    json: str


def as_json(rows: type[Base] | Subquery, columns: Mapping[str, ColumnElement[Any] | InstrumentedAttribute[Any]]) -> Any:
    """The text of a JSON object with these columns of `rows`, by the names that they have in it."""
    named = [_writable(column).label(name) for name, column in columns.items()]
    record = select(*named).correlate(rows).lateral("record")
    # As text: SQLAlchemy has the driver parse what is of type json.
    return select(cast(func.row_to_json(literal_column("record")), Text)).select_from(record).scalar_subquery()


def as_json_array(json: Any, position: InstrumentedAttribute[int]) -> ColumnElement[Any]:
    """All of what `as_json` writes, in an array, in the order of `position`."""
    # Not json_agg, which puts line breaks between them.
    items = func.string_agg(json, aggregate_order_by(literal_column("','"), position))
    return cast(func.concat(literal_column("'['"), items, literal_column("']'")), JSON)


def _writable(column: Any) -> Any:
    if not isinstance(column.type, DateTime):
        return column
    return func.replace(func.to_char(func.timezone(UTC, column), RFC_3339), NO_FRACTION, NOTHING)
