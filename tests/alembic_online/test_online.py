"""The time limits of statements that block nobody, and of all others."""

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from alembic_online.runs.connection import RUN, create_engine
from alembic_online.runs.online import give_time
from alembic_online.settings import Settings
from local.postgres import Server


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_an_online_statement_that_fails_leaves_its_limits_to_no_other(
    server: Server, database: str, in_transaction: bool
) -> None:
    def work(connection: Connection) -> None:
        give_time(connection, 300)
        connection.exec_driver_sql("INSERT INTO animals (name) VALUES ('x')")
        connection.exec_driver_sql("ALTER TABLE animals ADD CONSTRAINT named CHECK (name <> 'x') NOT VALID")
        connection.commit()
        if not in_transaction:
            connection.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(2):
            with pytest.raises(IntegrityError):
                connection.execute(text("ALTER TABLE animals VALIDATE CONSTRAINT named"))
            if in_transaction:
                connection.rollback()
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "700ms"
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "9s"

    url = Settings(migration_database_url=server.url("zoo_migrator", database)).database()
    async with create_engine(url, RUN, lock_timeout="700ms", statement_timeout="9s").connect() as connection:
        await connection.run_sync(work)
