"""Runs examples as revisions are run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic_online.literal import InQuotes, keep_literal
from api.models import Base
from local.postgres import Server
from tests.alembic_online.lint.examples import HERE, notes, script_of
from tests.alembic_online.zoo import ZOO
from tests.conftest import clone, drop, superuser


@pytest.fixture(scope="module")
async def template(server: Server, maintenance: asyncpg.Connection) -> AsyncIterator[str]:
    """A database with the tables that the examples use."""
    database = await clone(maintenance)
    connection = await superuser(server, database)
    await connection.execute("SET ROLE zoo_migrator")
    await connection.execute((HERE / "schema.sql").read_text())
    await connection.close()
    yield database
    await drop(maintenance, database)


@asynccontextmanager
async def copy(maintenance: asyncpg.Connection, template: str) -> AsyncIterator[str]:
    """A copy of the template, until the block ends."""
    database = await clone(maintenance, template)
    yield database
    await drop(maintenance, database)


class Undone(Exception):
    """Raised to roll back what was done."""


async def run(engine: AsyncEngine, file: Path, *, commit: bool) -> None:
    """Run the example as the migrator's role, and check that it fails if it says so."""
    script, said = script_of(file), notes(file)

    def upgrade(connection: Connection) -> None:
        keep_literal(connection.dialect)
        context = MigrationContext.configure(
            connection, opts={"project": ZOO, "transaction_per_migration": True, "target_metadata": Base.metadata}
        )
        with (
            suppress(Undone),
            context.begin_transaction(_per_migration=True),
            Operations.context(context),
        ):
            if "needs" in said:
                connection.exec_driver_sql(said["needs"])
            script.module.upgrade()
            if not commit:
                raise Undone

    async with engine.connect() as connection:
        if (int(said.get("since", 0)),) > (connection.dialect.server_version_info or ()):
            pytest.skip(f"from Postgres {said['since']} on")
        if "fails" in said:
            with pytest.raises((DBAPIError, InQuotes), match=said["fails"]):
                await connection.run_sync(upgrade)
        else:
            await connection.run_sync(upgrade)
