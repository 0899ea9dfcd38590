"""Statements that take long but block nobody: CREATE INDEX CONCURRENTLY, VALIDATE CONSTRAINT and the like.

Guarantees: they, and only they, may wait long for their locks, because reads and writes go past them meanwhile, and may
run as long as they need. The invalid index that an interrupted build leaves is dropped before the same index is built
again: `IF NOT EXISTS` alone would take it for complete.
"""

import re
from typing import Any

import structlog
from sqlalchemy import Connection, event, text

NAME = r'(?:"[^"]+"|\w+)'
QUALIFIED = rf"(?:{NAME}\.)?{NAME}"
CONCURRENTLY = re.compile(
    rf"\s*(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\s+(?:\(.*?\)\s*)?\w+)\s+CONCURRENTLY\b"
    rf"|\s*REFRESH\s+MATERIALIZED\s+VIEW\s+CONCURRENTLY\b"
    rf"|\s*ALTER\s+TABLE\s+{QUALIFIED}\s+DETACH\s+PARTITION\s+{QUALIFIED}\s+(?:CONCURRENTLY|FINALIZE)\s*;?\s*$",
    re.IGNORECASE,
)
# As the only subcommand: with another one, the statement takes that one's lock.
VALIDATE = re.compile(
    rf"\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{QUALIFIED}\s+VALIDATE\s+CONSTRAINT\s+{NAME}\s*;?\s*$",
    re.IGNORECASE,
)
BUILDS_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>{NAME})\s+"
    rf"ON\s+(?:ONLY\s+)?(?P<table>{QUALIFIED})",
    re.IGNORECASE,
)

log = structlog.get_logger(__name__)

# An index is in the schema of its table.
_INVALID = text(
    "SELECT index.oid::regclass FROM pg_index JOIN pg_class index ON index.oid = indexrelid"
    " WHERE indrelid = to_regclass(:table) AND NOT indisvalid AND quote_ident(relname) = quote_ident(:name)"
)


def is_online(statement: str) -> bool:
    """Whether reads and writes go past this statement while it waits and while it works."""
    return bool(CONCURRENTLY.match(statement) or VALIDATE.match(statement))


def give_time(connection: Connection, lock_seconds: float) -> None:
    """Let online statements on `connection` wait `lock_seconds` for their locks, and run as long as they need."""
    limits = {"lock_timeout": f"{lock_seconds * 1000:.0f}", "statement_timeout": "0"}

    def before(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        restore_limits(connection)  # those of an online statement that failed are still set
        if is_online(statement):
            if build := BUILDS_INDEX.match(statement):
                _drop_invalid(connection, build["table"], build["name"])
            restore = [(name, connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in limits]
            for name, value in limits.items():
                connection.exec_driver_sql(f"SET {name} = '{value}'")
            connection.info["restore_limits"] = restore

    def after(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if is_online(statement):
            restore_limits(connection)

    def restore_limits(connection: Connection) -> None:
        for name, value in connection.info.pop("restore_limits", ()):
            connection.exec_driver_sql(f"SET {name} = '{value}'")

    event.listen(connection, "before_cursor_execute", before)
    event.listen(connection, "after_cursor_execute", after)


def _drop_invalid(connection: Connection, table: str, name: str) -> None:
    plain = name[1:-1] if name.startswith('"') else name.lower()
    found = connection.execute(_INVALID, {"table": table, "name": plain}).scalar()
    if found is not None:
        log.warning("dropping what an interrupted build has left", index=found)
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {found}")
