"""Lists that Postgres itself writes as JSON, for nothing in them is looked at before a client gets it.

To make a hundred rows into objects, and those into JSON, takes Python a good deal longer than it takes Postgres to
write them.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Select,
    Subquery,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
)

L = TypeVar("L")

# Of timestamps: RFC 3339, as pydantic writes it, which is without a fraction where that is nothing.
UTC: ColumnElement[str] = literal_column("'UTC'")
RFC_3339: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""")
NO_FRACTION: ColumnElement[str] = literal_column("'.000000'")
NOTHING: ColumnElement[str] = literal_column("''")
COMMA: ColumnElement[str] = literal_column("','")
ONE: ColumnElement[int] = literal_column("1")


@dataclass(frozen=True)
class Page(Generic[L]):
    """A part of a list in id order. `next_after` is the `after` of the next page; None where this is the last."""

    records: L
    next_after: int | UUID | None


JsonPage = Page[str]
"""A page whose records are a JSON array."""


def json_array(rows: Subquery) -> Select[Any]:
    """The text of an array of objects, one a row, that have its columns by their names; in the order of the rows."""
    return select(_bracketed(func.string_agg(_object(rows), COMMA)))


def json_page(rows: Select[Any], page_size: int) -> Select[Any]:
    """The first `limit` of the rows, `page_size` at most, as a JSON array; the id of its last, null if it has all."""
    limit = bindparam("limit", type_=BigInteger)
    # Postgres takes a limit that is a parameter for a tenth of the table, and would plan anew for each page.
    found = rows.limit(literal_column(str(page_size + 1))).subquery("found")
    # They are written when they are found: of what an offset passes over, Postgres would write all as well. The one
    # beyond the limit tells whether there is more.
    row = select(*map(_writable, found.c)).limit(limit + ONE).subquery("row")
    objects, ids = func.array_agg(_object(row), type_=ARRAY(Text)), func.array_agg(row.c.id)
    array = _bracketed(func.array_to_string(objects[ONE:limit], COMMA))
    return select(array, case((func.count() > limit, ids[limit])))


def _object(rows: Subquery) -> ColumnElement[str]:
    # Its text, and put together as such: json_agg has line breaks between them.
    return cast(func.row_to_json(rows.table_valued()), Text)


def _bracketed(objects: ColumnElement[str]) -> ColumnElement[str]:
    return func.concat(literal_column("'['"), objects, literal_column("']'"))


def _writable(column: Any) -> Any:
    if not isinstance(column.type, DateTime):
        return column
    text = func.to_char(func.timezone(UTC, column), RFC_3339)
    return func.replace(text, NO_FRACTION, NOTHING).label(column.name)
