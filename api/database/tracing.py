"""Spans of statements, with their operation and table as a name; neither their text nor their parameters."""

import re
from functools import lru_cache
from time import time_ns
from typing import Any

import asyncpg
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import ExceptionContext, ExecuteStyle, ExecutionContext

from api.traces import add_statement

_OPERATION = re.compile(r"\w+")
_CHANGE = re.compile(r"(?<!FOR )(?<!KEY )\b(INSERT|UPDATE|DELETE)\b", re.IGNORECASE)  # not the lock of a SELECT
_TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE|JOIN)\s+(?:ONLY\s+)?"?([a-z_][a-z0-9_]*)', re.IGNORECASE)
_BEGAN = "zoo.began"


@lru_cache(1024)
def summary(sql: str) -> str:
    """The operation of a statement, and the first table that it names: `SELECT animals`."""
    found, table = _OPERATION.search(sql), _TABLE.search(sql)
    operation = found[0].upper() if found else "statement"
    if operation == "WITH":
        change = _CHANGE.search(sql)
        operation = change[1].upper() if change else "SELECT"
    return f"{operation} {table[1]}" if table else operation


def trace_connection(connection: asyncpg.Connection) -> None:
    """Make a span of each statement that the driver's connection is asked for."""
    connection.add_query_logger(_add)


def trace_sessions(engine: Engine) -> None:
    """Make a span of each statement that SQLAlchemy has prepared: those, the driver does not tell."""
    event.listen(engine, "before_cursor_execute", _before)
    event.listen(engine, "after_cursor_execute", _after)
    event.listen(engine, "handle_error", _failed)


def _add(record: asyncpg.connection.LoggedQuery) -> None:
    ended = time_ns()
    add_statement(summary(record.query), ended - int(record.elapsed * 1e9), ended, record.exception)


def _before(connection: Connection, *_: object) -> None:
    connection.info[_BEGAN] = time_ns()


def _after(connection: Connection, _: object, sql: str, __: Any, context: ExecutionContext, ___: bool) -> None:
    if not _is_told(context):
        ended = time_ns()
        add_statement(summary(sql), connection.info.get(_BEGAN, ended), ended, None)


def _failed(context: ExceptionContext) -> None:
    if context.connection is not None and context.statement is not None and not _is_told(context.execution_context):
        ended = time_ns()
        began = context.connection.info.get(_BEGAN, ended)
        add_statement(summary(context.statement), began, ended, context.original_exception)


def _is_told(context: ExecutionContext | None) -> bool:
    """Whether the driver tells it: of an `executemany` of its own, but not of an INSERT of many rows."""
    return context is not None and context.execute_style is ExecuteStyle.EXECUTEMANY
