"""The commands of `python -m migrator`, a file each, and what they have in common."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from api.settings import Settings, load_settings
from migrator.connection import LOOK, create_engine, wait_for_database
from migrator.errors import MIGRATION_FAILED, ConfigurationError, MigratorError
from migrator.log import fail
from migrator.run import LOCK_TIMEOUT

CONFIG = Path(__file__).parent.parent.parent / "pyproject.toml"

T = TypeVar("T")
Connect = Callable[[str], AsyncEngine]
"""Makes an engine whose sessions have the name given."""


def load_scripts() -> ScriptDirectory:
    """The revisions of this release."""
    return ScriptDirectory.from_config(Config(toml_file=CONFIG))


@asynccontextmanager
async def looking(connect: Connect, settings: Settings) -> AsyncIterator[AsyncConnection]:
    """A connection to look at the database with, when that is there. It changes nothing."""
    await wait_for_database(connect(LOOK), settings.migrator_wait_seconds)
    async with connect(LOOK).connect() as connection:
        await connection.execution_options(postgresql_readonly=True)
        yield connection


def run(work: Callable[[Connect, Settings], Awaitable[T]]) -> T:
    """Run `work`; where it fails, end this process with one line and the exit code that belongs to it."""

    async def start() -> T:
        try:
            settings = load_settings()
            url = settings.migration_database()
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return await work(lambda name: create_engine(url, name, lock_timeout=LOCK_TIMEOUT), settings)

    try:
        return asyncio.run(start())
    except MigratorError as error:
        fail(str(error), error.exit_code)
    except SQLAlchemyError as error:
        fail(str(getattr(error, "orig", None) or error), MIGRATION_FAILED)
