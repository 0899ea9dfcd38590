"""The api's role may read and write rows, and nothing else."""

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import ROOT

FORBIDDEN = [
    "CREATE TABLE mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE TABLE mine AS SELECT 1",
    "SELECT 1 INTO mine",
    "CREATE SCHEMA mine",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE SEQUENCE mine",
    "CREATE TYPE mine AS ENUM ('a')",
    "CREATE DOMAIN mine AS int",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE DATABASE mine",
    "CREATE ROLE mine",
    "ALTER TABLE animals ADD COLUMN mine int",
    "ALTER TABLE animals OWNER TO zoo_api",
    "ALTER TABLE animals DISABLE TRIGGER ALL",
    "ALTER SEQUENCE animals_id_seq RESTART",
    "ALTER SCHEMA public RENAME TO mine",
    "ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator GRANT ALL ON TABLES TO zoo_api",
    "CREATE INDEX mine ON animals (name)",
    "CREATE TRIGGER mine AFTER INSERT ON animals EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "DROP TABLE animals",
    "DROP INDEX ix_animals_name_id",
    "DROP SCHEMA public CASCADE",
    "TRUNCATE animals",
    "COMMENT ON TABLE animals IS 'mine'",
    "GRANT SELECT ON animals TO PUBLIC",
    "SET ROLE zoo_migrator",
    "INSERT INTO alembic_version VALUES ('mine')",
    "UPDATE alembic_version SET version_num = 'mine'",
    "DELETE FROM migration_history",
    "DELETE FROM migration_schema",
    "INSERT INTO migration_history (revision, direction) VALUES ('mine', 'upgrade')",
    "UPDATE migration_workers SET release = 'mine'",
    "INSERT INTO migration_workers (seen_at) VALUES ('now')",
    "COPY animals TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_try_advisory_lock_shared(1, 1)",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT lo_create(0)",
    "SELECT lo_creat(0)",
    "SELECT lo_from_bytea(0, 'mine')",
    "BEGIN; LOCK TABLE alembic_version IN ROW EXCLUSIVE MODE",
    "BEGIN; LOCK TABLE migration_history IN ACCESS EXCLUSIVE MODE",
    "ALTER ROLE zoo_api CREATEDB",
    "ALTER ROLE zoo_migrator PASSWORD 'mine'",
    "ALTER ROLE zoo_migrator SET search_path = mine",
    "ALTER DATABASE zoo_migrated SET search_path = mine",
]
# What Postgres allows every role; docs/operations.md says what each would do.
ALLOWED = [
    "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
    "ALTER ROLE CURRENT_USER SET statement_timeout = 0",
    "SET statement_timeout = 0",
    "LOCK TABLE animals IN ACCESS EXCLUSIVE MODE",
    "NOTIFY mine",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_the_api_is_refused(server: Server, worker_database: str, statement: str) -> None:
    connection = await asyncpg.connect(server.url("zoo_api", worker_database))
    if statement.startswith("GRANT"):
        await connection.execute(statement)  # Postgres only warns: "no privileges were granted"
        assert await connection.fetchval("SELECT NOT has_table_privilege('public', 'animals', 'SELECT')")
    else:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO animals (name) VALUES ('A')",
        "UPDATE animals SET name = 'B'",
        "DELETE FROM animals",
        "SELECT * FROM animals",
        "SELECT * FROM alembic_version",
        "SELECT * FROM migration_history",
        "INSERT INTO migration_workers (id, application, release, host) VALUES (gen_random_uuid(), '', '', '')",
        "UPDATE migration_workers SET seen_at = DEFAULT",
        "DELETE FROM migration_workers",
    ],
)
async def test_the_api_may(server: Server, worker_database: str, statement: str) -> None:
    connection = await asyncpg.connect(server.url("zoo_api", worker_database))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(statement)
    await transaction.rollback()
    await connection.close()


async def test_statements_of_the_api_and_their_waits_for_locks_are_limited(
    server: Server, worker_database: str
) -> None:
    connection = await asyncpg.connect(server.url("zoo_api", worker_database))
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    assert [await connection.fetchval(f"SHOW {name}") for name in names] == ["3s", "2s", "30s"]
    await connection.close()


@pytest.mark.parametrize("statement", ALLOWED)
async def test_what_postgres_can_not_forbid_the_api_is_in_the_documents(
    server: Server, worker_database: str, statement: str
) -> None:
    assert f"`{statement}`" in (ROOT / "docs" / "operations.md").read_text()
    connection = await asyncpg.connect(server.url("zoo_api", worker_database))
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(statement)
    await transaction.rollback()
    await connection.close()


@pytest.mark.parametrize(("database", "statement"), [("postgres", "CREATE TEMPORARY TABLE mine ()"), ("template1", "")])
async def test_the_api_makes_nothing_in_the_servers_own_databases(
    server: Server, database: str, statement: str
) -> None:
    async def make() -> None:
        connection = await asyncpg.connect(server.url("zoo_api", database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await make()


async def test_the_migrator_may_hold_its_lock_and_create_schemas(server: Server, empty_database: str) -> None:
    server.grant_roles(empty_database)
    connection = await asyncpg.connect(server.url("zoo_migrator", empty_database))
    assert await connection.fetchval("SELECT pg_try_advisory_lock(1)")
    await connection.execute("CREATE SCHEMA mine")
    await connection.close()


async def test_the_migrator_may_create_databases_and_drop_only_its_own(server: Server, database: str) -> None:
    connection = await asyncpg.connect(server.url("zoo_migrator", database))
    await connection.execute(f"CREATE DATABASE {database}_own")
    await connection.execute(f"DROP DATABASE {database}_own")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DROP DATABASE zoo_migrated")
    await connection.close()


async def test_nobody_else_may_connect(server: Server, worker_database: str) -> None:
    admin = await asyncpg.connect(server.url("postgres", worker_database))
    assert not await admin.fetchval("SELECT has_database_privilege('public', current_database(), 'CONNECT')")
    assert not await admin.fetchval("SELECT has_schema_privilege('public', 'public', 'USAGE')")
    await admin.close()


async def test_the_roles_script_can_run_again(server: Server, database: str) -> None:
    server.grant_roles(database)
    connection = await asyncpg.connect(server.url("zoo_api", database))
    assert await connection.fetchval("SELECT count(*) FROM animals") == 0
    await connection.close()
