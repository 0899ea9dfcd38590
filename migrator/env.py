"""The Alembic environment: whoever starts it, a run is safe. What that means stands in each of the modules it uses.

connection   waits for the database; a session of its own, with rights to change the schema
lock         one migrator at a time, and nothing left at work of one that was killed
run          no statement waits long for a lock; revisions are tried again instead
online       but what is in nobody's way gets the time it needs, and an interrupted index is built anew
revisions    one after the other, the lock held
phases       what takes something away waits until no release of the api is connected that uses it
lint         what is not safe for a database in use is not begun
history      which revisions were applied; a database that is ahead of this release
drift        whether the schema is what the models say
autogenerate what revisions are made of that are written from the models
errors       exit codes
"""

import asyncio
import os
import signal
from functools import partial
from typing import Any

import structlog
from alembic import command, context
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

import migrator.operations  # noqa: F401 - registers them, for revisions to use
from api.models import Base
from api.settings import Settings, load_settings
from migrator import history
from migrator.autogenerate import write_online
from migrator.connection import LOCK, LOOK, RUN, create_engine, wait_for_database
from migrator.drift import report_drift
from migrator.errors import MIGRATION_FAILED, ConfigurationError, MigratorError
from migrator.linted import linted
from migrator.lock import MigrationLock, migration_lock
from migrator.log import configure_log, fail
from migrator.phases import in_phase
from migrator.revisions import Progress, Steps, decided_once, one_by_one
from migrator.run import LOCK_TIMEOUT, run_with_retries

log = structlog.get_logger("migrator")

CONFIGURATION: dict[str, Any] = {
    "dialect_name": "postgresql",
    "target_metadata": Base.metadata,
    "include_name": history.include_name,
    "compare_server_default": True,
    "transaction_per_migration": True,
    "process_revision_directives": write_online,
}


def read_settings() -> Settings:
    """The settings of the environment; ConfigurationError where they can't be used."""
    try:
        return load_settings()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def write_sql() -> None:
    """Print, for `--sql`, what would be done."""
    steps = in_phase(planned_steps(), read_settings().migrator_phase)
    context.configure(fn=steps, literal_binds=True, on_version_apply=history.record, **CONFIGURATION)
    context.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    with context.begin_transaction():
        context.run_migrations()


def look(connection: Connection) -> None:
    """Carry out a command that changes nothing (current, check), or what code does that called Alembic."""
    context.configure(connection=connection, on_version_apply=history.record, **CONFIGURATION)
    with context.begin_transaction():
        context.run_migrations()


def planned_steps() -> Steps:
    """The command's way from one revision to another."""
    context.configure(dialect_name="postgresql")
    steps: Steps = context.get_context().opts["fn"]
    return steps


def migrate(
    connection: Connection, steps: Steps, lock: MigrationLock, progress: Progress, *, fail_on_drift: bool
) -> None:
    """Go from where the schema is to where the command says, one revision after the other."""
    if trace := context.config.attributes.get("trace"):
        trace.attach(connection)
    if is_upgrade():
        if history.is_ahead(connection, context.script):
            log.info("nothing to do: the database is ahead of this release, whose revisions are all applied")
            return
        history.require_unchanged(connection, context.script)
    in_transaction: dict[str, Any] = {
        "on_version_apply": (lambda **_: lock.require(connection), history.record),
        "progress": progress,
        "lock": lock,
    }
    context.configure(connection=connection, fn=steps, **in_transaction, **CONFIGURATION)
    with context.begin_transaction():
        context.run_migrations()
    migration = context.get_context()
    if is_upgrade() and set(migration.get_current_heads()) == set(context.script.get_heads()):
        if not progress.revision:
            log.info("nothing to do: the schema is at the newest revision")
        report_drift(migration, Base.metadata, fail=fail_on_drift)


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
    given = context.config.attributes.get("connection")  # pytest-alembic's
    trace = context.config.attributes.get("trace")  # a rehearsal's, on a database where no api is connected
    settings = read_settings()
    try:
        url = given.url if given else trace.url if trace else settings.migration_database()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    statement_timeout = f"{settings.migrator_statement_timeout * 1000:.0f}"

    def engine(name: str, lock_timeout: str = LOCK_TIMEOUT) -> AsyncEngine:
        return given or create_engine(url, name, lock_timeout=lock_timeout, statement_timeout=statement_timeout)

    if not moves_schema():
        async with engine(LOOK).connect() as connection:
            await connection.run_sync(look)
        return
    await wait_for_database(engine(LOOK), settings.migrator_wait_seconds)
    async with migration_lock(engine(LOCK), settings.migrator_lock_timeout) as lock:
        progress = Progress(settings.release)
        planned = decided_once(planned_steps(), progress)
        planned = linted(planned) if is_upgrade() else planned
        steps = one_by_one(in_phase(planned, "all" if trace else settings.migrator_phase), lock, progress)
        drift = settings.migrator_drift == "fail"
        work = partial(migrate, steps=steps, lock=lock, progress=progress, fail_on_drift=drift)
        await run_with_retries(partial(engine, RUN), work, lock, progress, settings.migrator_retry_seconds)


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
    except asyncio.CancelledError:
        fail("stopped by SIGTERM: what was under way is rolled back; run this again", 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        fail("interrupted: what was under way is rolled back; run this again", 128 + signal.SIGINT)
    except MigratorError as error:
        fail(str(error), error.exit_code)
    except CommandError as error:  # Alembic's own: no such revision, say
        fail(str(error), ConfigurationError.exit_code)
    except Exception as error:  # noqa: BLE001 - whatever a revision raises
        fail(f"a revision failed and is rolled back: {getattr(error, 'orig', None) or error}", MIGRATION_FAILED)


if context.config.cmd_opts is None:  # called by code, which sees to its log and its errors itself
    asyncio.run(run_online())
else:
    configure_log(os.environ.get("LOG_FORMAT", ""))
    if context.config.cmd_opts.raiseerr:  # `alembic --raiseerr`
        os.environ["MIGRATOR_DEBUG"] = "1"
    if context.is_offline_mode():
        try:
            write_sql()
        except MigratorError as error:
            fail(str(error), error.exit_code)
    else:
        main()
