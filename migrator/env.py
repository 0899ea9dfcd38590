"""The Alembic environment: whoever starts it, a run is safe. What that means stands in each of the modules it uses.

connection   waits for the database; a session of its own, with rights to change the schema
lock         one migrator at a time
run          no statement waits long for a lock; revisions are tried again instead
history      which revisions were applied; a database that is ahead of this release
errors       exit codes
"""

import asyncio
import logging
import os
import signal
import sys
from functools import partial
from typing import NoReturn

from alembic import command, context
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from api.models import Base
from api.settings import load_settings
from migrator import history
from migrator.connection import create_engine, wait_for_database
from migrator.errors import MIGRATION_FAILED, ConfigurationError, MigratorError
from migrator.lock import migration_lock
from migrator.run import LOCK_TIMEOUT, run_with_retries

log = logging.getLogger("migrator")


def run_migrations(connection: Connection | None = None, progress: history.Progress | None = None) -> None:
    """Carry out the command that Alembic was called with: on `connection`, or as text for `--sql`."""
    context.configure(
        connection=connection,
        dialect_name="postgresql",
        literal_binds=connection is None,
        target_metadata=Base.metadata,
        include_name=lambda name, kind, _: not (kind == "table" and name == history.TABLE_NAME),
        compare_server_default=True,
        transaction_per_migration=True,
        on_version_apply=history.record,
        progress=progress,
    )
    if connection is None:
        context.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    elif is_upgrade():
        if history.is_ahead(connection, context.script):
            log.info("the database is ahead of this release, whose revisions are all applied: nothing to do")
            return
        history.require_unchanged(connection, context.script)
    with context.begin_transaction():
        context.run_migrations()


def is_upgrade() -> bool:
    """Whether Alembic was called as `alembic upgrade`. The other ways to move are for those who know what is there."""
    return context.config.cmd_opts is not None and context.config.cmd_opts.cmd[0] is command.upgrade


def require_one_head() -> None:
    """Two that were written side by side and merged green apply in no order, and `upgrade head` could take neither."""
    heads = context.script.get_heads()
    if len(heads) > 1 and is_upgrade() and getattr(context.config.cmd_opts, "revision", None) == "head":
        raise ConfigurationError(
            f"there are {len(heads)} newest revisions, {' and '.join(sorted(heads))}: join them with "
            f"`alembic merge -m 'join' {' '.join(sorted(heads))}`, or name one"
        )


def moves_schema() -> bool:
    """Whether this command has a revision to go to (upgrade, downgrade, stamp), or only looks (current, check)."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


async def run_online() -> None:
    """Wait for the database, then for the turn where its schema may change, and run."""
    require_one_head()
    try:
        settings = load_settings()
        url = settings.migration_database()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    given = context.config.attributes.get("connection")  # pytest-alembic's

    def engine(lock_timeout: str) -> AsyncEngine:
        return given or create_engine(url, lock_timeout)

    if not moves_schema():
        async with engine(LOCK_TIMEOUT).connect() as connection:
            await connection.run_sync(run_migrations)
        return
    await wait_for_database(engine(LOCK_TIMEOUT), settings.migrator_wait_seconds)
    async with migration_lock(engine(LOCK_TIMEOUT), settings.migrator_lock_timeout) as observer:
        progress = history.Progress(settings.release)
        migrate = partial(run_migrations, progress=progress)
        await run_with_retries(engine, migrate, observer, progress, settings.migrator_retry_seconds)


async def run_until_told_to_stop() -> None:
    """`run_online`, ended by SIGTERM as by Ctrl-C: the revision under way is rolled back."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run_online()


def main() -> None:
    """Run, and where that fails, end with one line and the exit code that belongs to it."""
    try:
        asyncio.run(run_until_told_to_stop())
    except CommandError:
        raise  # Alembic's own, of which it says one line itself
    except asyncio.CancelledError:
        fail("stopped by SIGTERM: what was under way is rolled back; run this again", 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        fail("interrupted: what was under way is rolled back; run this again", 128 + signal.SIGINT)
    except MigratorError as error:
        fail(str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - whatever a revision raises
        fail(f"a revision failed and is rolled back: {getattr(error, 'orig', None) or error}", MIGRATION_FAILED)


def fail(reason: str, exit_code: int) -> NoReturn:
    """End with one line; MIGRATOR_DEBUG=1 shows where it came from, too."""
    log.error(reason, exc_info=os.environ.get("MIGRATOR_DEBUG") == "1")
    sys.exit(exit_code)


if not logging.getLogger().handlers:
    logging.basicConfig(level=logging.INFO, format="%(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # what it loads is nobody's news

if context.is_offline_mode():
    run_migrations()
elif context.config.cmd_opts is None:
    asyncio.run(run_online())  # called by code, which sees to its errors itself
else:
    main()
