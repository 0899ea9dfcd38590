"""What an app's env.py does: a run is safe, however it is started. Each module says what it guarantees.

connection   waits for the database; a session of its own, with the right to change the schema
lock         one migrator at a time, and no statement of a killed one still at work
retries      no statement waits long for a lock; its revision is tried again instead
online       but statements that block nobody get the time they need, and an interrupted index build is begun anew
steps        one revision after the other, with the lock held
phases       a revision that takes something away waits until no release that uses it is at work
workers      which releases are at work, also behind a pooler
lint_gate    revisions that are not safe for a database in use are not begun
pooler       a pooler is told of what statements return now
history      which revisions were applied; a database that is ahead of this release
drift        differences between the schema and the models
autogenerate what `alembic revision --autogenerate` writes
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

import alembic_online.impl
import alembic_online.operations  # noqa: F401 - registers them, for revisions to use
from alembic_online.autogenerate import write_online
from alembic_online.compare import PLUGINS
from alembic_online.drift.record import forget
from alembic_online.errors import MIGRATION_FAILED, ConfigurationError, MigratorError
from alembic_online.literal import OFFLINE, keep_literal
from alembic_online.loading import load_revisions
from alembic_online.log import configure_log, fail
from alembic_online.project import FOUND, Project
from alembic_online.runs import history
from alembic_online.runs.connection import LOCK, LOOK, RUN, create_engine, wait_for_database
from alembic_online.runs.drift import (
    compare_options,
    noting_what_was_there,
    only_warning,
    record_schema,
    report_drift,
)
from alembic_online.runs.lint_gate import gate
from alembic_online.runs.lock import MigrationLock, migration_lock
from alembic_online.runs.phases import in_phase
from alembic_online.runs.pooler import Pooler
from alembic_online.runs.retries import LOCK_TIMEOUT, run_with_retries
from alembic_online.runs.steps import Progress, Steps, decided_once, one_by_one
from alembic_online.runs.workers import create_workers
from alembic_online.settings import load_settings

log = structlog.get_logger("migrator")


def run(
    *,
    target_metadata: MetaData,
    application: str,
    release: str,
    reader_role: str | None = None,
) -> None:
    """Run the `alembic` command, on the app's models. The tool's own commands get these arguments, too.

    The app's sessions are named `<application>@<release>`, and its workers keep rows in `migration_workers`: a contract
    revision waits until the older ones are gone. RELEASE in the environment overrides `release`. `reader_role`, the
    app's own, if it exists, may only read the tables in which the tool records its work, but for those rows.
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
        return
    if context.config.cmd_opts is not None:
        run_command(project)
        return
    load_revisions(project.scripts)  # called by code, which handles log and errors itself
    if context.is_offline_mode():
        write_sql(project)
    else:
        asyncio.run(run_online(project))


def run_command(project: Project) -> None:
    """Run a command of the command line; if it fails, end with one line and the error's exit code."""
    configure_log(os.environ.get("LOG_FORMAT", ""))
    if project.config.cmd_opts is not None and project.config.cmd_opts.raiseerr:  # `alembic --raiseerr`
        os.environ["MIGRATOR_DEBUG"] = "1"
    try:
        load_revisions(project.scripts)
        if context.is_offline_mode():
            write_sql(project)
        else:
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
        failed = "can't be written as SQL" if context.is_offline_mode() else "failed and is rolled back"
        fail(f"a revision {failed}: {getattr(error, 'orig', None) or error}", MIGRATION_FAILED)


def options(project: Project) -> dict[str, Any]:
    """How Alembic is configured, whatever it was called for."""
    return {
        "dialect_name": "postgresql",
        "target_metadata": project.metadata,
        "transaction_per_migration": True,
        "autogenerate_plugins": PLUGINS,
        "process_revision_directives": write_online,
        "on_version_apply": history.record,
        "project": project,
        **compare_options(project),
    }


def write_sql(project: Project) -> None:
    """Print the SQL of the command, for `--sql`."""
    steps = in_phase(planned_steps(), load_settings().migrator_phase)
    context.configure(fn=steps, literal_binds=True, dialect_opts=dict(OFFLINE), **options(project))
    keep_literal(context.get_context().dialect)
    context.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    create_workers(context.get_context())
    forget(context.get_context())  # who runs this makes the changes by hand; none of them is one
    with context.begin_transaction():
        context.run_migrations()


def look(connection: Connection, project: Project) -> None:
    """Run a command that changes nothing (current, check), or the function of code that called Alembic."""
    keep_literal(connection.dialect)
    context.configure(connection=connection, **options(project))
    with context.begin_transaction():
        context.run_migrations()


def planned_steps() -> Steps:
    """The steps of the command, from one revision to another."""
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
    """Move the schema to the revision that the command names, one revision after the other."""
    keep_literal(connection.dialect)
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
    if not trace:
        look_back(project, progress)


def look_back(project: Project, progress: Progress) -> None:
    """After a run, whose revisions are all committed: what the schema is now."""
    migration = context.get_context()
    with only_warning(migration):
        create_workers(migration)
        is_at_head = set(migration.get_current_heads()) == set(context.script.get_heads())
        if is_called(command.stamp) or progress.taken:
            record_schema(migration, project, accept=is_called(command.stamp))
        if is_upgrade() and is_at_head:
            if not progress.revision:
                log.info("nothing to do: the schema is at the newest revision")
            report_drift(migration, project, fail=load_settings().migrator_drift == "fail")


def is_upgrade() -> bool:
    """Whether Alembic was called as `alembic upgrade`. People who downgrade or stamp are expected to know the state."""
    return is_called(command.upgrade)


def is_called(function: Any) -> bool:
    """Whether this is the command line's call of that function of `alembic.command`."""
    return context.config.cmd_opts is not None and context.config.cmd_opts.cmd[0] is function


def require_one_head() -> None:
    """ConfigurationError if there are several: two branches may each add a revision, and be merged without conflict."""
    heads = context.script.get_heads()
    if len(heads) > 1 and is_upgrade() and getattr(context.config.cmd_opts, "revision", None) == "head":
        raise ConfigurationError(
            f"there are {len(heads)} newest revisions, {' and '.join(sorted(heads))}: merge them with "
            f"`alembic merge -m 'merge' {' '.join(sorted(heads))}`, or name one"
        )


def moves_schema() -> bool:
    """Whether this command moves to a revision (upgrade, downgrade, stamp), or only reads (current, check)."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


async def run_online(project: Project) -> None:
    """Wait for the database, then for the migration lock, and run."""
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
        planned = in_phase(planned, "all" if trace else settings.migrator_phase)
        pooler = Pooler(settings.migrator_pooler_url)
        if not trace:
            planned = pooler.noting_what_is_returned(noting_what_was_there(planned, project))
        steps = one_by_one(planned, lock, progress)
        work = partial(migrate, project=project, steps=steps, lock=lock, progress=progress)
        try:
            await run_with_retries(partial(engine, RUN), work, lock, progress, settings.migrator_retry_seconds)
        finally:
            await pooler.tell(engine(LOOK))


async def run_until_told_to_stop(project: Project) -> None:
    """`run_online`; SIGTERM ends it as Ctrl-C does: the revision under way is rolled back."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await run_online(project)
