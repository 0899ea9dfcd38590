"""Statements that take long but block nobody: CREATE INDEX CONCURRENTLY, VALIDATE CONSTRAINT and the like.

Guarantees: they, and only they, may wait long for their locks, because reads and writes go past them meanwhile, and may
run as long as they need. The invalid indexes that an interrupted build has left are dropped before it is begun again:
for CREATE INDEX that of the same name, which `IF NOT EXISTS` alone would take for complete; for REINDEX the copies
that it had begun. A DETACH that was interrupted is finished.
"""

import re
from typing import Any

import structlog
from sqlalchemy import Connection, event

# One of these words is in each such statement. Others need no parser, which is slow to import: most runs do nothing.
WORDS = re.compile(r"\b(?:concurrently|validate|finalize|vacuum|analy[sz]e)\b", re.IGNORECASE)

log = structlog.get_logger(__name__)


def is_online(statement: str) -> bool:
    """Whether reads and writes go past this statement while it waits and while it works, as `sql` tells."""
    if not WORDS.search(statement):
        return False
    from alembic_online import sql  # noqa: PLC0415

    return sql.is_online(statement)


def give_time(connection: Connection, lock_seconds: float) -> None:
    """Let online statements on `connection` wait `lock_seconds` for their locks, and run as long as they need."""
    limits = {"lock_timeout": f"{lock_seconds * 1000:.0f}", "statement_timeout": "0"}

    def before(connection: Connection, _: Any, statement: str, parameters: Any, *__: Any) -> tuple[str, Any]:
        restore_limits(connection)  # those of an online statement that failed are still set
        if is_online(statement):
            from alembic_online.runs.debris import find_debris, rest_of  # noqa: PLC0415 - they have the parser

            if (rest := rest_of(connection, statement)) != statement:
                log.warning("an interrupted statement is finished", statement=statement)
                statement = rest

            for index in find_debris(connection, statement):
                log.warning("dropping what an interrupted build has left", index=index)
                connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")  # with limits of its own
            restore = [(name, connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in limits]
            for name, value in limits.items():
                connection.exec_driver_sql(f"SET {name} = '{value}'")
            connection.info["restore_limits"] = restore
        return statement, parameters

    def restore_limits(connection: Connection, *_: Any) -> None:
        for name, value in connection.info.pop("restore_limits", ()):
            connection.exec_driver_sql(f"SET {name} = '{value}'")

    event.listen(connection, "before_cursor_execute", before, retval=True)
    event.listen(connection, "after_cursor_execute", restore_limits)
