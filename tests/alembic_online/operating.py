"""Online operations, executed on a database as in a revision."""

from collections.abc import Callable
from io import StringIO
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

import alembic_online.operations  # noqa: F401 - registers them
from alembic_online.literal import OFFLINE, keep_literal
from alembic_online.runs.lock import MigrationLock
from alembic_online.runs.online import give_time
from api.models import Base
from local.postgres import Server
from tests.alembic_online.zoo import ZOO
from tests.conftest import engine_for

Work = Callable[[Any], object]
"""What a revision does with `op`: Any, because Alembic's types do not know the online operations."""


async def operate(
    server: Server,
    database: str,
    *works: Work,
    version: tuple[int, ...] | None = None,
    lock: MigrationLock | None = None,
) -> None:
    """Do each of `works` as a revision of its own; with `version`, as if the server had that version."""

    def revisions(connection: Connection) -> None:
        give_time(connection, 5)
        keep_literal(connection.dialect)
        if version:
            connection.dialect.server_version_info = version
        options = {"project": ZOO, "transaction_per_migration": True, "target_metadata": Base.metadata}
        if lock:
            options["lock"] = lock
        for work in works:
            context = MigrationContext.configure(connection, opts=options)
            with context.begin_transaction(_per_migration=True), Operations.context(context) as op:
                work(op)

    engine = engine_for(server.url("zoo_migrator", database))
    async with engine.connect() as connection:
        await connection.run_sync(revisions)
    await engine.dispose()


def sql_of(work: Work, version: tuple[int, ...] | None = None) -> str:
    """What `alembic upgrade --sql` writes for it; with `version`, a plan for a server of that version."""
    written = StringIO()
    options = {"as_sql": True, "output_buffer": written, "target_metadata": Base.metadata}
    context = MigrationContext.configure(dialect_name="postgresql", dialect_opts=dict(OFFLINE), opts=options)
    keep_literal(context.dialect)
    context.dialect.server_version_info = version
    with Operations.context(context) as op:
        work(op)
    return written.getvalue()
