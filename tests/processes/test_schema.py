"""`alembic upgrade` creates the schema of the models, and its SQL (`--sql`) creates the same."""

import subprocess

from local.postgres import SUPERUSER, Server, binaries
from tests.conftest import alembic


def test_models_and_schema_do_not_differ(server: Server, database: str) -> None:
    done = alembic(server.environment(database), "check")
    assert done.returncode == 0, done.stderr
    assert "No new upgrade operations detected" in done.stdout


def test_offline_sql_makes_the_same_schema(server: Server, empty_database: str, worker_database: str) -> None:
    printed = alembic({}, "upgrade", "head", "--sql")
    assert printed.returncode == 0, printed.stderr
    psql(server.url("zoo_migrator", empty_database), printed.stdout)
    assert schema(server, empty_database) == schema(server, worker_database)


def psql(url: str, script: str) -> None:
    subprocess.run([binaries() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", url], input=script, text=True, check=True)


def schema(server: Server, database: str) -> str:
    url = server.url(SUPERUSER, database)
    # Only a run notes how far backfills are.
    options = ["--schema-only", "--restrict-key=same", "--exclude-table=migration_backfills"]
    dump = subprocess.check_output([binaries() / "pg_dump", *options, url], text=True)
    assert "CREATE TABLE public.animals" in dump
    return dump
