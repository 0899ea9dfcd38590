"""deploy/postgres/10-roles.sh, run by administrators who may not do all of it, as on managed Postgres."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncpg
import pytest

from local.postgres import DATABASE, ROLES_SCRIPT, SUPERUSER, Server, as_caller, binaries, serve
from tests.conftest import FAST_AND_FORGETFUL, superuser

ADMIN = "CREATE ROLE boss LOGIN CREATEROLE CREATEDB"
OWNED = f"{ADMIN}; CREATE DATABASE zoo OWNER boss"
FROM_16 = 160000  # from this version on, CREATEROLE is a right on roles of one's own making
SHARE = (
    "ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO"
    " zoo_api; ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator IN SCHEMA public GRANT USAGE ON SEQUENCES TO zoo_api"
)
SESSIONS = "of sessions of other roles that are in the way"
LOCKS = "zoo_api can hold the lock of migrations"
TEMPORARY = "zoo_api may create temporary tables in other databases"
PASSWORDS = "keeps its password"


@dataclass(frozen=True)
class Case:
    """Who runs the script, on what, and what it then leaves out; from 16 on, `also` too."""

    made: tuple[str, ...]
    left_out: frozenset[str] = frozenset({LOCKS, TEMPORARY})
    also: frozenset[str] = frozenset()
    in_zoo: str = ""


CASES = {
    "a superuser": Case((f"{ADMIN} SUPERUSER", "CREATE DATABASE zoo"), frozenset()),
    "an admin who owns the database": Case(tuple(OWNED.split("; ")), also=frozenset({SESSIONS})),
    "an admin of a group that owns it, and may grant what it sees": Case(
        (
            "CREATE ROLE cloudsqlsuperuser CREATEROLE CREATEDB",
            "GRANT pg_read_all_stats TO cloudsqlsuperuser WITH ADMIN OPTION",
            f"{ADMIN} IN ROLE cloudsqlsuperuser",
            "CREATE DATABASE zoo OWNER cloudsqlsuperuser",
        )
    ),
    "an admin in a group that may see, but not grant it": Case(
        (
            "CREATE ROLE rds_superuser CREATEROLE CREATEDB",
            "GRANT pg_monitor TO rds_superuser WITH ADMIN OPTION",
            f"{ADMIN} IN ROLE rds_superuser",
            "CREATE DATABASE zoo OWNER boss",
        ),
        also=frozenset({SESSIONS}),
    ),
    "an admin on another's database, whose owner has let the roles in": Case(
        (ADMIN, "CREATE ROLE zoo_migrator", "CREATE ROLE zoo_api", "CREATE DATABASE zoo"),
        frozenset({LOCKS, TEMPORARY, "every role may connect", "schemas nor extensions", "use the schema public"}),
        frozenset({SESSIONS, PASSWORDS, "sessions of zoo_api, too", "can not be rehearsed", "without lock_timeout"}),
        "ALTER ROLE zoo_migrator LOGIN; ALTER ROLE zoo_api LOGIN; GRANT USAGE ON SCHEMA public TO zoo_api;"
        f"GRANT USAGE, CREATE ON SCHEMA public TO zoo_migrator; {SHARE}",
    ),
}  # fmt: skip
REFUSED = {
    "no right to create roles": (("CREATE ROLE boss LOGIN", "CREATE DATABASE zoo OWNER boss"), "there is no role"),
    "another's database": ((ADMIN, "CREATE DATABASE zoo"), "GRANT USAGE, CREATE ON SCHEMA public TO zoo_migrator"),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, because roles belong to all of a server's databases."""
    with serve(tmp_path_factory.mktemp("roles") / "data", FAST_AND_FORGETFUL) as server:
        yield server


@pytest.fixture
async def admin(cluster: Server) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to a server that has neither the database nor roles, as before, after the test, too."""
    connection = await superuser(cluster)
    yield connection
    await connection.execute("DROP DATABASE IF EXISTS zoo WITH (FORCE)")
    roles = [row[0] for row in await connection.fetch("SELECT rolname FROM pg_roles WHERE oid >= 16384")]
    if roles:
        await connection.execute(f"DROP OWNED BY {', '.join(roles)}; DROP ROLE {', '.join(roles)}")
    await connection.execute("GRANT CONNECT, TEMPORARY ON DATABASE template1, postgres TO PUBLIC")
    await connection.close()


def run_script(
    server: Server, user: str = "boss", password: str = "100% o'clock", **settings: str
) -> "subprocess.CompletedProcess[str]":
    env = {
        "PATH": f"{binaries()}:{os.environ['PATH']}",
        "PGHOST": str(server.socket_dir),
        "POSTGRES_USER": user,
        "POSTGRES_DB": DATABASE,
        "DATABASE_PASSWORD": password,
        "MIGRATION_DATABASE_PASSWORD": password,
    } | settings
    return subprocess.run([*as_caller(), ROLES_SCRIPT], env=env, capture_output=True, text=True, check=False)


def version(connection: asyncpg.Connection) -> int:
    found = connection.get_server_version()
    return int(found.major * 10_000 + found.minor)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_leaves_out_what_the_admin_may_not_do_and_says_what_that_costs(
    cluster: Server, admin: asyncpg.Connection, case: Case
) -> None:
    for statement in case.made:
        await admin.execute(statement)
    if case.in_zoo:
        owner = await superuser(cluster, DATABASE)
        await owner.execute(case.in_zoo)
        await owner.close()
    expected = case.left_out | (case.also if version(admin) >= FROM_16 else frozenset())
    for _ in range(2):
        done = run_script(cluster)
        assert done.returncode == 0, done.stderr
        warnings = [line for line in done.stderr.splitlines() if line.startswith("WARNING:")]
        assert {part for part in expected if any(part in line for line in warnings)} == expected
        assert [line for line in warnings if not any(part in line for part in expected | {"are without"})] == []
        assert "o'clock" not in done.stderr
    await require_that_the_roles_can_work(cluster)


async def require_that_the_roles_can_work(server: Server) -> None:
    migrator = await asyncpg.connect(server.url("zoo_migrator"))
    api = await asyncpg.connect(server.url("zoo_api"))
    await migrator.execute("CREATE TABLE records (id int GENERATED ALWAYS AS IDENTITY, name text)")
    await api.execute("INSERT INTO records (name) VALUES ('A'); UPDATE records SET name = 'B'; DELETE FROM records")
    for refused in ("CREATE TABLE mine ()", "ALTER TABLE records ADD mine int"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.execute(refused)
    await api.close()
    await migrator.close()


@pytest.mark.parametrize(("made", "said"), REFUSED.values(), ids=REFUSED)
async def test_changes_nothing_without_what_is_needed(
    cluster: Server, admin: asyncpg.Connection, made: tuple[str, ...], said: str
) -> None:
    for statement in made:
        await admin.execute(statement)
    done = run_script(cluster)
    assert done.returncode != 0
    assert said in done.stderr
    assert "so nothing was changed" in done.stderr
    assert await admin.fetchval("SELECT to_regrole('zoo_api') IS NULL")


async def test_what_an_admin_may_not_give_is_given_by_what_it_says(cluster: Server, admin: asyncpg.Connection) -> None:
    for statement in (ADMIN, "CREATE DATABASE zoo", "CREATE ROLE zoo_migrator LOGIN", "CREATE ROLE zoo_api LOGIN"):
        await admin.execute(statement)
    owner = await superuser(cluster, DATABASE)
    for _ in range(5):
        if (done := run_script(cluster)).returncode == 0:
            break
        await owner.execute(done.stderr.partition("run by who may: ")[2])
    await owner.close()
    assert done.returncode == 0, done.stderr
    await require_that_the_roles_can_work(cluster)


async def test_the_migrator_sees_what_the_api_does_even_if_it_may_not_see_all_sessions(
    cluster: Server, admin: asyncpg.Connection
) -> None:
    for statement in OWNED.split("; "):
        await admin.execute(statement)
    assert run_script(cluster).returncode == 0
    connections = {name: await asyncpg.connect(cluster.url(name)) for name in ("zoo_api", "zoo_migrator", SUPERUSER)}
    seen = await connections["zoo_migrator"].fetch(
        "SELECT usename, state FROM pg_stat_activity WHERE datname = 'zoo' AND pid <> pg_backend_pid()"
    )
    states = dict(map(tuple, seen))
    assert states["zoo_api"] == "idle"
    assert states[SUPERUSER] == (None if version(admin) >= FROM_16 else "idle")
    for connection in connections.values():
        await connection.close()


async def test_a_password_that_the_server_refuses_is_not_shown(cluster: Server, admin: asyncpg.Connection) -> None:
    await admin.execute("CREATE DATABASE zoo")
    await admin.execute("ALTER DATABASE zoo SET password_encryption = 'scram-sha-256'")
    done = run_script(cluster, SUPERUSER, "md5hidden\udcff")
    assert done.returncode != 0
    assert "hidden" not in done.stderr + done.stdout


async def test_who_measures_the_database_waits_for_no_table_that_is_locked(
    cluster: Server, admin: asyncpg.Connection
) -> None:
    await admin.execute("CREATE DATABASE zoo")
    assert run_script(cluster, SUPERUSER, MONITOR_DATABASE_PASSWORD="sees").returncode == 0
    holder, monitor = await superuser(cluster, DATABASE), await asyncpg.connect(cluster.url("zoo_monitor"))
    await holder.execute("CREATE TABLE held ()")
    size = "SELECT pg_table_size(oid) FROM pg_class WHERE relname = 'held'"
    assert await monitor.fetchval(size) == 0
    async with holder.transaction():
        await holder.execute("LOCK TABLE held")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await monitor.fetchval(size, timeout=60)
    await monitor.close()
    await holder.close()
