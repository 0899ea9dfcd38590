"""A pooler between the app and Postgres, which has to be told after a run that changed what statements return.

Its connections, and the statements that are prepared on them, are shared: after a column's type has changed, say, a
statement fails with "cached plan must not change result type" on each of them, until the pooler opens others.
RECONNECT, on PgBouncer's admin console, has it do so: a connection in use is replaced when its transaction ends.

Guarantees: the pooler is told of what the run has committed, also if a later revision failed; and only if a table, view
or function that was there before returns something else, or is gone. If it can't be told, that is a warning, because
the work is done.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import structlog
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic_online.runs.steps import Steps
from stack_settings import DatabaseUrl, connect

SECONDS = 2  # because a run that SIGTERM ends tells it, too

log = structlog.get_logger(__name__)

# By name, because a name is what a statement has. Up to that id they are Postgres's own.
_RETURNED = text(
    "SELECT attrelid::regclass::text, md5(string_agg("
    "concat_ws(' ', attname, atttypid, atttypmod, attcollation), ',' ORDER BY attnum))"
    " FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
    " WHERE attnum > 0 AND NOT attisdropped AND attrelid > 16383 AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c')"
    " GROUP BY attrelid"
    " UNION ALL SELECT oid::regprocedure::text, concat_ws(' ', prorettype, proretset, proallargtypes, proargnames)"
    " FROM pg_proc WHERE oid > 16383"
)


class Pooler:
    """The pooler of one run, by the URL of its admin console; None if it is not known."""

    def __init__(self, url: DatabaseUrl | None) -> None:
        self._url = url
        self._before: dict[str, str] | None = None

    def noting_what_is_returned(self, steps: Steps) -> Steps:
        """`steps`, from one revision to another; before the first one, what statements return is noted."""

        def run(heads: Any, context: MigrationContext) -> Iterator[RevisionStep | StampStep]:
            assert context.connection is not None
            for step in steps(heads, context):
                if self._before is None:
                    self._before = _returned(context.connection)
                yield step

        return run

    async def tell(self, engine: AsyncEngine) -> None:
        """Tell it if what was noted has changed; or, if its URL is not known, log that it has to be told."""
        if not self._before:
            return
        try:
            async with asyncio.timeout(SECONDS), engine.connect() as connection:
                after = await connection.run_sync(_returned)
            changed = sorted(name for name, returned in self._before.items() if after.get(name) != returned)
            if not changed:
                return
            if self._url is None:
                log.info("what statements return has changed: a pooler needs RECONNECT", changed=changed)
            else:
                await _reconnect(self._url)
                log.info("the pooler opens its connections anew", changed=changed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the revisions are committed
            log.warning("the pooler was not told: it needs RECONNECT", reason=str(error) or type(error).__name__)


def _returned(connection: Connection) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(_RETURNED)}


async def _reconnect(admin_console: DatabaseUrl) -> None:
    """The console understands neither prepared statements nor transactions, and so nothing that SQLAlchemy sends."""
    async with asyncio.timeout(SECONDS):
        console = await connect(admin_console, timeout=SECONDS, settings={})
        try:
            await console.execute("RECONNECT")
        finally:
            console.terminate()
