"""What an app's env.py does: whoever starts it, a run is safe. What that means stands in each of the modules it uses.

connection   waits for the database; a session of its own, with rights to change the schema
lock         one migrator at a time, and nothing left at work of one that was killed
retries      no statement waits long for a lock; revisions are tried again instead
online       but what is in nobody's way gets the time it needs, and an interrupted index is built anew
steps        one revision after the other, the lock held
phases       what takes something away waits until no release of the app is connected that uses it
lint_gate    what is not safe for a database in use is not begun
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
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

import alembic_online.operations  # noqa: F401 - registers them, for revisions to use
from alembic_online.autogenerate import write_online
from alembic_online.errors import MIGRATION_FAILED, ConfigurationError, MigratorError
from alembic_online.log import configure_log, fail
from alembic_online.project import FOUND, Project
from alembic_online.runs import history
from alembic_online.runs.connection import LOCK, LOOK, RUN, create_engine, wait_for_database
from alembic_online.runs.drift import compare_options, report_drift
from alembic_online.runs.lint_gate import gate
from alembic_online.runs.lock import MigrationLock, migration_lock
from alembic_online.runs.phases import in_phase
from alembic_online.runs.retries import LOCK_TIMEOUT, run_with_retries
from alembic_online.runs.steps import Progress, Steps, decided_once, one_by_one
from alembic_online.settings import load_settings

log = structlog.get_logger("migrator")


def run(
    *,
    target_metadata: MetaData,
    application: str,
    release: str,
    reader_role: str | None = None,
) -> None:
    """Do what `alembic` was called for, on the app's models; what it is told here, the tool's commands know, too.

    The app's sessions have the name `<application>@<release>`: what takes something away waits for older ones. RELEASE
    in the environment is taken in the place of `release`. `reader_role`, where there is such a role, may only read the
    tables in which the tool notes what was done.
    """
    project = Project(
        config=context.config,
        scripts=context.script,
        metadata=target_metadata,
        application=application,
        release=os.environ.get("RELEASE") or release,
        reader_role=reader_role,
    )
    if (found := context.config.attributes.get(FOUND)) is not None:
        found.append(project)
    elif context.config.cmd_opts is None:  # called by code, which sees to its log and its errors itself
        asyncio.run(run_online(project))
    else:
        run_command(project)


def run_command(project: Project) -> None:
    """What was asked for on a command line; where that fails, one line and the exit code that belongs to it."""
    configure_log(os.environ.get("LOG_FORMAT", ""))
    if project.config.cmd_opts is not None and project.config.cmd_opts.raiseerr:  # `alembic --raiseerr`
        os.environ["MIGRATOR_DEBUG"] = "1"
    if context.is_offline_mode():
        try:
            write_sql(project)
        except MigratorError as error:
            fail(str(error), error.exit_code)
        return
    try:
        asyncio.run(run_until_told_to_stop(project))
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


def options(project: Project) -> dict[str, Any]:
    """How Alembic is configured, whatever it was called for."""
    return {
        "dialect_name": "postgresql",
        "target_metadata": project.metadata,
        "transaction_per_migration": True,
        "process_revision_directives": write_online,
        "on_version_apply": history.record,
        "project": project,
        **compare_options(project),
    }


def write_sql(project: Project) -> None:
    """Print, for `--sql`, what would be done."""
    steps = in_phase(planned_steps(), load_settings().migrator_phase)
    context.configure(fn=steps, literal_binds=True, **options(project))
    context.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    with context.begin_transaction():
        context.run_migrations()


def look(connection: Connection, project: Project) -> None:
    """Carry out a command that changes nothing (current, check), or what code does that called Alembic."""
    context.configure(connection=connection, **options(project))
    with context.begin_transaction():
        context.run_migrations()


def planned_steps() -> Steps:
    """The command's way from one revision to another."""
    context.configure(dialect_name="postgresql")
    steps: Steps = context.get_context().opts["fn"]
    return steps


def migrate(
    connection: Connection,
    project: Project,
    steps: Steps,
    lock: MigrationLock,
    progress: Progress,
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
    context.configure(connection=connection, fn=steps, **(options(project) | in_transaction))
    with context.begin_transaction():
        context.run_migrations()
    migration = context.get_context()
    if is_upgrade() and set(migration.get_current_heads()) == set(context.script.get_heads()):
        if not progress.revision:
            log.info("nothing to do: the schema is at the newest revision")
        report_drift(migration, project.metadata, fail=load_settings().migrator_drift == "fail")


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


async def run_online(project: Project) -> None:
    """Wait for the database, then for the turn where its schema may change, and run."""
    require_one_head()
    given = context.config.attributes.get("connection")  # pytest-alembic's
    trace = context.config.attributes.get("trace")  # a rehearsal's, on a database where no api is connected
    settings = load_settings()
    url = (
        given.url
        if given
        else trace.url
        if trace
        else settings.database(context.config.get_alembic_option("sqlalchemy.url"))
    )
    statement_timeout = f"{settings.migrator_statement_timeout * 1000:.0f}"

    def engine(name: str, lock_timeout: str = LOCK_TIMEOUT) -> AsyncEngine:
        return given or create_engine(url, name, lock_timeout=lock_timeout, statement_timeout=statement_timeout)

    if not moves_schema():
        async with engine(LOOK).connect() as connection:
            await connection.run_sync(look, project)
        return
    await wait_for_database(engine(LOOK), settings.migrator_wait_seconds)
    async with migration_lock(engine(LOCK), settings.migrator_lock_timeout) as lock:
        progress = Progress(project.release)
        planned = decided_once(planned_steps(), progress)
        planned = gate(planned, project) if is_upgrade() else planned
        steps = one_by_one(in_phase(planned, "all" if trace else settings.migrator_phase), lock, progress)
        work = partial(migrate, project=project, steps=steps, lock=lock, progress=progress)
        await run_with_retries(partial(engine, RUN), work, lock, progress, settings.migrator_retry_seconds)


async def run_until_told_to_stop(project: Project) -> None:
    """`run_online`, ended by SIGTERM as by Ctrl-C: the revision under way is rolled back."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run_online(project)
