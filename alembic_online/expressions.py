"""SQLAlchemy's expressions as SQL, and SQL as SQLAlchemy's expressions, with nothing taken for something else.

`sa.text()` takes `:x` for a parameter, even inside quotes, and the drivers that most dialects are for want each `%`
doubled.
"""

import re
from typing import Any

from sqlalchemy import FetchedValue
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import DefaultClause
from sqlalchemy.sql import ClauseElement

from alembic_online.literal import keep_literal

DIALECT: Any = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
_preparer = DIALECT.identifier_preparer
# Reserved words of Postgres that SQLAlchemy's list lacks.
_preparer.reserved_words = _preparer.reserved_words | {
    "collation",
    "concurrently",
    "lateral",
    "system_user",
    "tablesample",
}
quote = _preparer.quote
keep_literal(DIALECT)

# A colon that sa.text() would take for a parameter's, or a backslash before it for an escape.
_COLON = re.compile(r"(?<![:\w\\]):(?=\w+(?![:\w]))|(?<=\\):(?=\w*(?![:\w]))")


def as_text(sql: str) -> str:
    """SQL for `sa.text()`, which gives back the same."""
    return _COLON.sub(r"\:", sql)


def final_name(name: str | None) -> str:
    """The name of an index or a constraint, truncated as SQLAlchemy does it if a naming convention has made it."""
    return "" if name is None else str(_preparer.truncate_and_render_constraint_name(name, _alembic_quote=False))


def string_sql(value: str) -> str:
    """The string as a literal."""
    return "'{}'".format(value.replace("'", "''"))


def sql_of(element: ClauseElement) -> str:
    """The expression, with its values in it."""
    return str(element.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True, "include_table": False}))


def default_sql(default: FetchedValue | None) -> str | None:
    """The expression of a server default; None if there is none, or it is not known."""
    if not isinstance(default, DefaultClause):
        return None
    if isinstance(default.arg, str):
        return string_sql(default.arg)
    return stored(sql_of(default.arg))


def stored(default: str) -> str | None:
    """The default, as SQL; None if it is NULL, which Postgres does not store."""
    return None if default.upper() == "NULL" else default
