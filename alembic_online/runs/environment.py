"""What an app's env.py does: a run is safe, however it is started. Each module says what it guarantees.

command      one command, from the connection to the last look at the schema
connection   waits for the database; a session of its own, with the right to change the schema
lock         one migrator at a time, and no statement of a killed one still at work
retries      no statement waits long for a lock; its revision is tried again instead
online       but statements that block nobody get the time they need, and an interrupted index build is begun anew
steps        one revision after the other, with the lock held
phases       a revision that takes something away waits until no release that uses it is at work
contract     what such a revision declares
floor        the first release that can work with the schema
workers      which releases are at work, also behind a pooler
lint_gate    revisions that are not safe for a database in use are not begun
pooler       a pooler is told of what statements return now
history      which revisions were applied; a database that is ahead of this release
drift        differences between the schema and the models
autogenerate what `alembic revision --autogenerate` writes
errors       exit codes
"""

import asyncio
import gc
import os
import signal

from alembic import context
from alembic.util import CommandError
from sqlalchemy import MetaData

import alembic_online.impl
import alembic_online.operations  # noqa: F401 - registers them, for revisions to use
from alembic_online.errors import MIGRATION_FAILED, ConfigurationError, MigratorError
from alembic_online.loading import load_revisions
from alembic_online.log import configure_log, fail
from alembic_online.project import FOUND, Project
from alembic_online.runs.command import run_online, write_sql


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
    if getattr(project.config.cmd_opts, "raiseerr", False):  # `alembic --raiseerr`
        os.environ["MIGRATOR_DEBUG"] = "1"
    gc.freeze()  # models and modules stay to the end: to look for garbage among them takes half a second of a large app
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


async def run_until_told_to_stop(project: Project) -> None:
    """`run_online`; SIGTERM ends it as Ctrl-C does: the revision under way is rolled back."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await run_online(project)
    except Exception as error:
        if task.cancelling():  # the end of a block outside of transactions fails if its statement was cancelled
            raise asyncio.CancelledError from error
        raise
