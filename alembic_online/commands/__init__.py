"""The commands of `alembic-online`, one file each, and what they share."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alembic_online.errors import MIGRATION_FAILED, ConfigurationError, MigratorError
from alembic_online.log import fail
from alembic_online.project import Project, load_project
from alembic_online.runs.connection import LOOK, create_engine, wait_for_database
from alembic_online.runs.retries import LOCK_TIMEOUT
from alembic_online.settings import Settings, load_settings
from stack_settings import DatabaseUrl

T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """What a command works on: a project, and its database."""

    project: Project
    settings: Settings
    url: DatabaseUrl

    def connect(self, name: str) -> AsyncEngine:
        """An engine whose sessions have this name."""
        return create_engine(self.url, name, lock_timeout=LOCK_TIMEOUT)

    async def wait(self) -> None:
        """Wait until the database answers."""
        await wait_for_database(self.connect(LOOK), self.settings.migrator_wait_seconds)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[AsyncConnection]:
        """A read-only connection, once the database answers."""
        await self.wait()
        async with self.connect(LOOK).connect() as connection:
            await connection.execution_options(postgresql_readonly=True)
            yield connection


def run(work: Callable[[Setup], Awaitable[T]]) -> T:
    """Run `work`; if it fails, end this process with one line and the error's exit code."""

    async def start(setup: Setup) -> T:
        return await work(setup)

    try:
        settings, project = load_settings(), load_project()
        gc.freeze()  # as a run does
        url = settings.database(project.config.get_alembic_option("sqlalchemy.url"))
        return asyncio.run(start(Setup(project, settings, url)))
    except MigratorError as error:
        fail(str(error), error.exit_code)
    except CommandError as error:  # Alembic's own, for example where it finds no configuration
        fail(str(error), ConfigurationError.exit_code)
    except SQLAlchemyError as error:
        fail(str(getattr(error, "orig", None) or error), MIGRATION_FAILED)
