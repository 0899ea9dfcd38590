"""One command, from the connection to the last look at the schema, or as SQL.

Guarantee: only a command that moves the schema takes the migration lock; all others read.
"""

import warnings
from functools import partial
from typing import Any

import structlog
from alembic import command, context
from sqlalchemy import Connection
from sqlalchemy.exc import SAWarning
from sqlalchemy.ext.asyncio import AsyncEngine

import alembic_online.impl
import alembic_online.operations  # noqa: F401 - registers them, for revisions to use
from alembic_online.autogenerate import write_online
from alembic_online.compare import PLUGINS
from alembic_online.drift.record import forget
from alembic_online.errors import ConfigurationError
from alembic_online.literal import OFFLINE, keep_literal
from alembic_online.project import Project
from alembic_online.runs import history
from alembic_online.runs.connection import LOCK, LOOK, RUN, create_engine, wait_for_database
from alembic_online.runs.drift import (
    compare_options,
    noting_what_was_there,
    only_warning,
    record_schema,
    report_drift,
)
from alembic_online.runs.floor import complete_floor, require_not_below_floor
from alembic_online.runs.lint_gate import gate
from alembic_online.runs.lock import MigrationLock, migration_lock
from alembic_online.runs.phases import in_phase
from alembic_online.runs.pooler import Pooler
from alembic_online.runs.retries import LOCK_TIMEOUT, run_with_retries
from alembic_online.runs.steps import Progress, Steps, decided_once, one_by_one
from alembic_online.runs.workers import create_workers
from alembic_online.settings import load_settings

log = structlog.get_logger("migrator")


def options(project: Project) -> dict[str, Any]:
    """How Alembic is configured, whatever it was called for."""
    warnings.filterwarnings("ignore", "Did not recognize type", SAWarning)  # OnlineImpl asks Postgres for it
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
    context.run_migrations()


async def run_online(project: Project) -> None:
    """Wait for the database, then for the migration lock, and run."""
    require_one_head()
    given = context.config.attributes.get("connection")  # pytest-alembic's
    trace = context.config.attributes.get("trace")  # a rehearsal's, on a database where no api is connected
    settings = load_settings()
    configured = context.config.get_alembic_option("sqlalchemy.url")
    statement_timeout = f"{settings.migrator_statement_timeout * 1000:.0f}"

    def engine(name: str, lock_timeout: str = LOCK_TIMEOUT) -> AsyncEngine:
        if given is not None:
            made: AsyncEngine = given
            return made
        url = trace.url if trace else settings.database(configured)
        return create_engine(url, name, lock_timeout=lock_timeout, statement_timeout=statement_timeout)

    if not moves_schema():
        async with engine(LOOK).connect() as connection:
            await connection.run_sync(look, project)
        return
    await wait_for_database(engine(LOOK), settings.migrator_wait_seconds, to_write=True)
    async with migration_lock(engine(LOCK), settings.migrator_lock_timeout) as lock:
        progress = Progress(project.release)
        planned = planned_steps()
        if is_upgrade():  # a rehearsal is none: it is there to see what is not safe
            planned = gate(planned, project)
        planned = decided_once(planned, progress)
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


def look(connection: Connection, project: Project) -> None:
    """Run a command that changes nothing (current, check), or the function of code that called Alembic."""
    keep_literal(connection.dialect)
    context.configure(connection=connection, **options(project))
    context.run_migrations()


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
        is_ahead = history.is_ahead(connection, context.script)
        if is_ahead or load_settings().migrator_phase == "expand":  # which begins a rollout
            require_not_below_floor(connection, project)
        if is_ahead:
            log.info("nothing to do: the database is ahead of this release, whose revisions are all applied")
            return
        history.require_unchanged(connection, context.script)
    in_transaction: dict[str, Any] = {
        "on_version_apply": (lambda **_: lock.require(connection), history.record),
        "progress": progress,
        "lock": lock,
    }
    context.configure(connection=connection, fn=steps, **(options(project) | in_transaction))
    context.run_migrations()
    if not trace:
        look_back(project, progress)


def look_back(project: Project, progress: Progress) -> None:
    """After a run, whose revisions are all committed: what the schema is now."""
    migration = context.get_context()
    with only_warning(migration):
        create_workers(migration)
        complete_floor(migration)
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


def planned_steps() -> Steps:
    """The steps of the command, from one revision to another."""
    context.configure(dialect_name="postgresql")
    steps: Steps = context.get_context().opts["fn"]
    return steps
