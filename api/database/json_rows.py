"""Lists that Postgres itself writes as JSON, because the api sends them to clients without looking at them.

Python takes much longer to turn a hundred rows into objects, and those into JSON, than Postgres takes to write them.
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

# For timestamps: RFC 3339, as pydantic writes it: without a fraction of a second if that is zero.
UTC: ColumnElement[str] = literal_column("'UTC'")
RFC_3339: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""")
NO_FRACTION: ColumnElement[str] = literal_column("'.000000'")
NOTHING: ColumnElement[str] = literal_column("''")
COMMA: ColumnElement[str] = literal_column("','")
ONE: ColumnElement[int] = literal_column("1")


@dataclass(frozen=True)
class Page(Generic[L]):
    """A part of a list in id order. `next_after` is the `after` of the next page; None if this is the last."""

    records: L
    next_after: int | UUID | None


JsonPage = Page[str]
"""A page whose records are a JSON array."""


def json_array(rows: Subquery) -> Select[Any]:
    """A JSON array, as text, with an object for each row, in their order; its keys are the names of the columns."""
    return select(_bracketed(func.string_agg(_object(rows), COMMA)))


def json_page(rows: Select[Any], page_size: int) -> Select[Any]:
    """The first `limit` rows, `page_size` at most, as a JSON array; the id of the last, null if there are no more."""
    limit = bindparam("limit", type_=BigInteger)
    # Postgres assumes that a limit by parameter is a tenth of the table, and would make a new plan for each page.
    found = rows.limit(literal_column(str(page_size + 1))).subquery("found")
    # Only these rows are written as JSON: otherwise Postgres would also write those that an offset skips. The one
    # beyond the limit shows whether there are more.
    row = select(*map(_writable, found.c)).limit(limit + ONE).subquery("row")
    objects, ids = func.array_agg(_object(row), type_=ARRAY(Text)), func.array_agg(row.c.id)
    array = _bracketed(func.array_to_string(objects[ONE:limit], COMMA))
    return select(array, case((func.count() > limit, ids[limit])))


def _object(rows: Subquery) -> ColumnElement[str]:
    # As text, and joined as text, because json_agg puts line breaks between the objects.
    return cast(func.row_to_json(rows.table_valued()), Text)


def _bracketed(objects: ColumnElement[str]) -> ColumnElement[str]:
    return func.concat(literal_column("'['"), objects, literal_column("']'"))


def _writable(column: Any) -> Any:
    if not isinstance(column.type, DateTime):
        return column
    text = func.to_char(func.timezone(UTC, column), RFC_3339)
    return func.replace(text, NO_FRACTION, NOTHING).label(column.name)
