"""The Alembic environment: one run at a time, no unbounded wait for a lock, every applied revision on record."""

import asyncio
import logging
from contextlib import nullcontext

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from api.models import Base
from api.settings import Settings
from migrator import history
from migrator.lock import migration_lock

# How long a statement waits for a lock. Everybody who comes after it on that table waits behind it.
LOCK_TIMEOUT = "3s"
SESSION = {
    "application_name": "migrator",
    "lock_timeout": LOCK_TIMEOUT,
    # A statement whose migrator was killed ends with it, and not when it is done.
    "client_connection_check_interval": "500ms",
}


def configure(connection: Connection | None = None) -> None:
    """Bind Alembic to `connection`, or to no database at all for `--sql`."""
    context.configure(
        connection=connection,
        dialect_name="postgresql",
        literal_binds=connection is None,
        target_metadata=Base.metadata,
        include_name=lambda name, kind, _: not (kind == "table" and name == history.TABLE_NAME),
        compare_server_default=True,
        transaction_per_migration=True,
        on_version_apply=history.record,
    )


def run_migrations(connection: Connection | None = None) -> None:
    """Carry out the command that Alembic was called with."""
    configure(connection)
    if connection is None:
        context.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    with context.begin_transaction():
        context.run_migrations()


def moves_schema() -> bool:
    """Whether this command has a revision to go to (upgrade, downgrade, stamp), or only looks (current, check)."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def create_engine(settings: Settings) -> AsyncEngine:
    """An engine that connects as the migrator. ValueError where the settings name no database it may work on."""
    return create_async_engine(
        settings.migration_database(),
        poolclass=pool.NullPool,
        # Not by SET: that would open a transaction of its own around the run, and nothing would be saved.
        connect_args={"server_settings": SESSION},
    )


async def run_online() -> None:
    """Wait for the turn where the schema may change, and run."""
    try:
        settings = Settings()
        engine = context.config.attributes.get("connection") or create_engine(settings)  # pytest-alembic's, or ours
    except ValueError as error:  # pydantic's ValidationError is one
        raise CommandError(str(error)) from error
    turn = migration_lock(engine, settings.migrator_lock_timeout) if moves_schema() else nullcontext()
    async with turn, engine.connect() as connection:
        await connection.run_sync(run_migrations)


if not logging.getLogger().handlers:
    logging.basicConfig(level=logging.INFO, format="%(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # what it loads is nobody's news

if context.is_offline_mode():
    run_migrations()
else:
    asyncio.run(run_online())
