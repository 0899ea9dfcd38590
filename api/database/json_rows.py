"""Lists that Postgres itself writes as JSON, because the api sends them to clients without looking at them.

Python takes much longer to turn a hundred rows into objects, and those into JSON, than Postgres takes to write them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Float,
    Numeric,
    Select,
    Subquery,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
)

from api.database.counts import Count
from api.database.statements import ReadDatabase, Statement

L = TypeVar("L")

# For timestamps: RFC 3339, as pydantic writes it: without a fraction of a second if that is zero.
UTC: ColumnElement[str] = literal_column("'UTC'")
RFC_3339: ColumnElement[str] = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""")
NO_FRACTION: ColumnElement[str] = literal_column("'.000000'")
NOTHING: ColumnElement[str] = literal_column("''")
COMMA: ColumnElement[str] = literal_column("','")
ONE: ColumnElement[int] = literal_column("1")
LIMIT: ColumnElement[int] = bindparam("limit", type_=BigInteger)
SO_FAR = (None, 0)  # of a window: the rows up to this one

MAX_PAGE_BYTES = 1_000_000
MAX_PAGE_BYTES_LITERAL: ColumnElement[int] = literal_column(str(MAX_PAGE_BYTES))


@dataclass(frozen=True)
class Page(Generic[L]):
    """A part of a list. `next_after` is the `after` of the next page, None if this is the last; `total` the number of
    records of all pages, if it was asked for.
    """

    records: L
    next_after: int | UUID | str | None
    total: Count | None = None


JsonPage = Page[str]
"""A page whose records are a JSON array."""


def json_array(rows: Subquery, at_most: int | None = None) -> Select[Any]:
    """A JSON array, as text, with an object for each row, in their order; its keys are the names of the columns.

    Null if there are more than `at_most`.
    """
    array = _bracketed(func.string_agg(_object(rows), COMMA))
    return select(array if at_most is None else case((func.count() <= literal_column(str(at_most)), array)))


class JsonPages:
    """The pages of a list: the first `limit` of its rows, `page_size` at most, and MAX_PAGE_BYTES.

    A page that would have more bytes ends earlier, with at least one row. Checking the size of each row adds half of
    the cost of writing it, so that is done only if all rows together turn out to be too large, by a second statement,
    which writes no more rows than it returns.
    """

    def __init__(
        self,
        rows: Select[Any],
        page_size: int,
        rows_in_full: Select[Any] | None = None,
        may_lack: str | None = None,
        order: str = "id",
    ) -> None:
        """`rows` are in order, that of their column `order` and their `id`. If a row may have any size, its column
        `may_lack` is null if it is too large; then the page is made of `rows_in_full`.
        """
        self._in_full = rows if rows_in_full is None else rows_in_full
        self._page_size = page_size
        self._order = order
        self._all_together = Statement(_all_together(rows, page_size, may_lack, order), _page)

    @cached_property
    def _one_by_one(self) -> Statement[JsonPage | None, ReadDatabase]:
        """Compiled for the first page that is too large: most lists have none."""
        return Statement(_one_by_one(self._in_full, self._page_size, self._order), _page)

    async def page(self, db: ReadDatabase, limit: int, /, **values: Any) -> JsonPage:
        """The page of at most `limit` rows; `values` are the parameters of the rows' query."""
        page = await self._all_together.first(db, **values, limit=limit)
        page = page or await self._one_by_one.first(db, **values, limit=limit)
        assert page is not None, "there is a page of any list"
        return page


def _page(records: str | None, next_after: int | UUID | str | None) -> JsonPage | None:
    return None if records is None else JsonPage(records, next_after)


def _all_together(rows: Select[Any], page_size: int, may_lack: str | None, order: str) -> Select[Any]:
    """The records as a JSON array, null if it is too large; the position of the last, null if there are no more."""
    row = _rows_of_page(rows, page_size)
    objects, positions = func.array_agg(_object(row), type_=ARRAY(Text)), func.array_agg(_position(row, order))
    is_too_large = func.pg_column_size(objects) > MAX_PAGE_BYTES_LITERAL
    if may_lack is not None:
        is_too_large |= func.count(row.c[may_lack]) < func.count()
    array = _bracketed(func.array_to_string(objects[ONE:LIMIT], COMMA))
    return select(case((is_too_large, null()), else_=array), case((func.count() > LIMIT, positions[LIMIT])))


def _one_by_one(rows: Select[Any], page_size: int, order: str) -> Select[Any]:
    """The same, with as many records as fit."""
    row = _rows_of_page(rows, page_size)
    # As a CTE, each row is written as JSON when it is first read, and kept for further reads.
    written = select(_position(row, order).label("position"), _object(row).label("object")).cte("written")
    size = func.sum(func.octet_length(written.c.object)).over(rows=SO_FAR).label("size")
    sizes = select(func.row_number().over(rows=SO_FAR).label("number"), size).select_from(written).subquery("sizes")
    first_too_many = select(sizes.c.number).where(sizes.c.size > MAX_PAGE_BYTES_LITERAL).limit(ONE).scalar_subquery()
    fitting = select(func.greatest(ONE, func.least(LIMIT, first_too_many - ONE)).label("fitting")).cte("fits")
    limit = select(fitting.c.fitting).scalar_subquery()
    kept = select(written.c.position, written.c.object).limit(limit + ONE).subquery("kept")
    objects, positions = func.array_agg(kept.c.object, type_=ARRAY(Text)), func.array_agg(kept.c.position)
    array = _bracketed(func.array_to_string(objects[ONE:limit], COMMA))
    return select(array, case((func.count() > limit, positions[limit])))


def _position(row: Subquery, order: str) -> ColumnElement[Any]:
    """Where a row stands in the order: its id or, in another order, the value and the id, with a comma between."""
    return row.c.id if order == "id" else func.concat(row.c[order], COMMA, row.c.id)


def _rows_of_page(rows: Select[Any], page_size: int) -> Subquery:
    """As many rows as a page may have, and one more, which shows whether there are more."""
    # Postgres assumes that a limit by parameter is a tenth of the table, and would make a new plan for each page.
    found = rows.limit(literal_column(str(page_size + 1))).subquery("found")
    # Only these rows are written as JSON: otherwise Postgres would also write those that an offset skips.
    # Without a name of its own, which a column could have, too.
    return select(*map(_writable, found.c)).limit(LIMIT + ONE).subquery()


def _object(rows: Subquery) -> ColumnElement[str]:
    # As text, and joined as text, because json_agg puts line breaks between the objects.
    return cast(func.row_to_json(rows.table_valued()), Text)


def _bracketed(objects: ColumnElement[str]) -> ColumnElement[str]:
    return func.concat(literal_column("'['"), objects, literal_column("']'"))


def _writable(column: Any) -> Any:
    """As pydantic writes it."""
    if isinstance(column.type, Numeric) and not isinstance(column.type, Float):
        return cast(column, Text).label(column.name)
    if not isinstance(column.type, DateTime):
        return column
    text = func.to_char(func.timezone(UTC, column), RFC_3339)
    return func.replace(text, NO_FRACTION, NOTHING).label(column.name)
