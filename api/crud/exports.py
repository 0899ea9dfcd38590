"""All live records of a resource as CSV (RFC 4180), which `import --update` reads again.

Page by page: neither the records nor a connection are held while a client takes its time. Each page is as the records
were when it was read.
"""

from collections.abc import AsyncIterator
from functools import cache
from io import BytesIO

from sqlalchemy import DateTime, Enum, String

from api.crud.resource import Resource
from api.database.driver import Database

PAGE_ROWS = 1_000
# What a text begins with that a spreadsheet runs as a formula, also in full width: for Python, and for Postgres.
FORMULA = r"[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-]"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # Excel would read anything else but letters of ASCII wrongly


async def export_csv(db: Database, resource: Resource) -> AsyncIterator[bytes]:
    """The header, and then the records in id order."""
    part, after = BYTE_ORDER_MARK + ",".join(resource.exported).encode() + b"\r\n", 0
    while True:
        page = BytesIO()
        async with db.connect() as connection:
            last = await connection.fetchval(_last_of_page(resource.quoted), after)
            if last is None:
                break
            await connection.copy_from_query(_page(resource), after, last, output=page, format="csv")
        yield part + page.getvalue()
        part, after = b"", last
    if part:
        yield part


def _last_of_page(table: str) -> str:
    live = f"SELECT id FROM {table} WHERE deleted_at IS NULL AND id > $1"  # noqa: S608 - of the model
    return f"SELECT max(id) FROM ({live} ORDER BY id LIMIT {PAGE_ROWS}) AS page"  # noqa: S608


@cache
def _page(resource: Resource) -> str:
    cells = ", ".join(_cell(column.name, column.type) for column in resource.columns_of(resource.exported))
    where = "deleted_at IS NULL AND id > $1 AND id <= $2"
    return f"SELECT {cells} FROM {resource.quoted} WHERE {where} ORDER BY id"  # noqa: S608


def _cell(name: str, kind: object) -> str:
    """What stands in a cell. A spreadsheet would run a text that begins like a formula: an apostrophe is put before it,
    which the import takes away again (CWE-1236).
    """
    if isinstance(kind, String) and not isinstance(kind, Enum):
        return f"""CASE WHEN "{name}" ~ '^''*{FORMULA}' THEN '''' || "{name}" ELSE "{name}" END"""
    if isinstance(kind, DateTime):
        return f"""to_char("{name}" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
    return f'"{name}"'
