"""SQL that revisions write as text reaches Postgres as it is written.

SQLAlchemy takes each `:x` in `sa.text()`, in which Alembic wraps every statement, default and condition, for a
parameter, even inside quotes: without a value it fails or, in DDL and with `--sql`, becomes NULL. A revision's text has
no values but those of `bindparams()`, so a name without one is meant literally. `sa.DDL()` takes `%` for the beginning
of a format; `--sql` doubles each `%`, as some drivers want it.
"""

import re
from copy import copy
from typing import Any

from sqlalchemy import BindParameter, String, TextClause
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import CompileError
from sqlalchemy.schema import DDL
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.sql.visitors import iterate

OFFLINE = {"paramstyle": "named"}
"""Options of a dialect that only writes SQL: a style of parameters in which `%` means nothing."""
# As in SQLAlchemy.
PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
_PERCENT = re.compile(r"%%|%\(\w+\)s|%")


class InQuotes(CompileError):
    """A parameter that has a value is inside quotes, where Postgres has no parameters."""


def keep_literal(dialect: Dialect) -> None:
    """From now on, what `dialect` compiles keeps what is meant literally."""
    if not issubclass(dialect.statement_compiler, _Literal):
        dialect.statement_compiler = type("LiteralSQL", (_Literal, dialect.statement_compiler), {})
        dialect.ddl_compiler = type("LiteralDDL", (_LiteralDDL, dialect.ddl_compiler), {})


class _Literal(SQLCompiler):
    def visit_textclause(self, textclause: TextClause, *args: Any, **options: Any) -> str:
        valued = {found.key for found in _parameters(textclause) if not self._is_literal(found)}
        if valued and (quoted := valued & _quoted(textclause.text)):
            raise InQuotes(f":{min(quoted)} has a value, but is inside quotes, where Postgres has no parameters")
        sql: str = super().visit_textclause(textclause, *args, in_text=True, **options)  # type: ignore[no-untyped-call]
        return sql

    def visit_bindparam(self, bindparam: BindParameter[Any], *args: Any, in_text: bool = False, **options: Any) -> str:
        if in_text and self._is_literal(bindparam):
            return f":{bindparam.key}"
        sql: str = super().visit_bindparam(bindparam, *args, **options)  # type: ignore[no-untyped-call]
        return sql

    def render_literal_value(self, value: Any, type_: Any, **options: Any) -> str:
        try:
            sql: str = super().render_literal_value(value, type_, **options)
        except CompileError:
            if not isinstance(value, str):
                raise
            # Of a type that SQLAlchemy writes no literals of: the regconfig of to_tsvector.
            return super().render_literal_value(value, String(), **options)
        return sql

    def _is_literal(self, parameter: BindParameter[Any]) -> bool:
        return parameter.required and parameter.key not in (self.column_keys or ())


class _LiteralDDL(DDLCompiler):
    def visit_ddl(self, ddl: DDL, **options: Any) -> str:
        meant = copy(ddl)
        meant.statement = _PERCENT.sub(lambda found: "%%" if found[0] == "%" else found[0], ddl.statement)
        sql: str = super().visit_ddl(meant, **options)  # type: ignore[no-untyped-call]
        return sql


def _parameters(textclause: TextClause) -> list[BindParameter[Any]]:
    return [found for found in iterate(textclause) if isinstance(found, BindParameter)]


def _quoted(sql: str) -> set[str]:
    """The names after a colon inside strings, quoted names and comments."""
    import postgast  # noqa: PLC0415 - slow to import, and hardly ever needed

    try:
        tokens = postgast.scan(sql).tokens
    except postgast.PgQueryError:
        return set()  # a part of a statement, or none: Postgres tells
    text = sql.encode()
    inside = [text[token.start + 1 : token.end].decode(errors="ignore") for token in tokens]
    return {name for part in inside for name in PARAMETER.findall(part)}
