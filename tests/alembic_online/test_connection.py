"""The migrator's connections: what it works on, and what it refuses before it does anything."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from alembic_online.errors import ConfigurationError, DatabaseUnreachable, MigratorError
from alembic_online.runs import connection as runs_connection
from alembic_online.runs.connection import LOCK, LOOK, RUN, DatabaseRefused, create_engine, wait_for_database
from alembic_online.settings import Settings
from local.postgres import Server
from tests.alembic_online.sessions import pass_on
from tests.authority import Authority

BACKEND_KEY_DATA = b"K\0\0\0\x0c"  # followed by the process that serves this connection, and a secret


@asynccontextmanager
async def announcing(socket_dir: Path, shift: int) -> AsyncIterator[int]:
    """A port at which all is passed on to Postgres; only the process that it announces is another by `shift`."""

    def change(data: bytes) -> bytes:
        before, message, after = data.partition(BACKEND_KEY_DATA)
        if message:
            after = (int.from_bytes(after[:4]) + shift).to_bytes(4) + after[4:]
        return before + message + after

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await pass_on(reader, writer, socket_dir, change)

    server = await asyncio.start_server(serve, "127.0.0.1")
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("shift", [-1, 0, 1])
async def test_a_session_that_another_process_serves_than_was_announced_is_a_poolers(
    server: Server, module_database: str, shift: int
) -> None:
    """So is each of PgBouncer's, whatever version it is of and whatever settings it lets through."""
    async with announcing(server.socket_dir, shift) as port:
        url = f"postgresql://zoo_migrator@127.0.0.1:{port}/{module_database}?sslmode=disable"
        engine = create_engine(Settings(migration_database_url=url).database(), LOOK)
        if shift == 0:
            await wait_for_database(engine, 0)
        else:
            with pytest.raises(ConfigurationError, match="leads to a connection pooler"):
                await wait_for_database(engine, 0)


def engine(url: str, name: str = LOOK, **limits: str) -> AsyncEngine:
    return create_engine(Settings(migration_database_url=url).database(), name, **limits)


@pytest.mark.parametrize(("name", "shown"), [(RUN, "migrator"), (LOCK, "migrator lock"), (LOOK, "migrator look")])
async def test_a_session_has_its_name_and_limits_whatever_the_url_says(
    server: Server, module_database: str, name: str, shown: str
) -> None:
    options = "-c%20lock_timeout%3D3h%20-c%20default_transaction_isolation%3Dserializable%20-c%20jit%3Don"
    url = f"{server.url('zoo_migrator', module_database)}&application_name=billing&options={options}"
    async with engine(url, name, lock_timeout="700ms", statement_timeout="9s").connect() as connection:
        found = {
            setting: await connection.scalar(text(f"SHOW {setting}"))
            for setting in (
                "application_name",
                "lock_timeout",
                "statement_timeout",
                "client_connection_check_interval",
                "default_transaction_isolation",
                "jit",
            )
        }
    assert found == {
        "application_name": f"billing: {shown}",
        "lock_timeout": "700ms",
        "statement_timeout": "9s",
        "client_connection_check_interval": "500ms",
        "default_transaction_isolation": "read committed",
        "jit": "on",  # not a limit
    }


async def test_a_session_is_closed_after_its_use_and_has_no_other_default(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    async with engine(server.url("zoo_migrator", database)).connect() as connection:
        assert await connection.scalar(text("SHOW jit")) == "off"
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
    async with asyncio.timeout(60):
        while await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid):
            await asyncio.sleep(0.01)


def error(sqlstate: str, message: str) -> bytes:
    """With which a server refuses a session."""
    fields = b"".join(f"{key}{value}\0".encode() for key, value in (("S", "FATAL"), ("C", sqlstate), ("M", message)))
    return b"E" + (len(fields) + 5).to_bytes(4) + fields + b"\0"


UNKNOWN_LOGIN = b"R" + (8).to_bytes(4) + (2).to_bytes(4)  # Kerberos 5, which Postgres no longer has


@asynccontextmanager
async def answering(server: Server, *answers: bytes) -> AsyncIterator[str]:
    """The host and port of a Postgres that gives these answers to the first sessions, one to each."""
    left = [*answers]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not left:
            await pass_on(reader, writer, server.socket_dir)
            return
        with closing(writer):
            await reader.read(65_536)
            writer.write(left.pop(0))

    listening = await asyncio.start_server(serve, "127.0.0.1")
    yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    listening.close()


@dataclass
class Clock:
    """A clock that goes on in pauses only."""

    now: float = 0
    pauses: list[float] = field(default_factory=list)

    def get_running_loop(self) -> "Clock":
        return self

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(runs_connection, "asyncio", clock)
    return clock


STARTING = error("57P03", "the database system is starting up")
FULL = error("53300", "sorry, too many clients already")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (STARTING, "the database is not ready: the database system is starting up"),
        (FULL, "the database is not ready: sorry, too many clients already"),
        (b"", "the database can't be reached: connection was closed"),  # by what is between, as Docker's proxy does
    ],
)
async def test_a_database_that_is_not_ready_yet_is_waited_for_which_is_said_once(
    server: Server, module_database: str, clock: Clock, answer: bytes, reason: str
) -> None:
    async with answering(server, *[answer] * 6) as address:
        url = f"postgresql://zoo_migrator@{address}/{module_database}?sslmode=disable"
        with capture_logs() as log:
            await wait_for_database(engine(url), 60)
    assert clock.pauses == [0.25, 0.5, 1, 2, 2, 2]
    [line] = log
    assert (line["event"], line["seconds"]) == ("waiting for the database", 60)
    assert line["reason"].startswith(reason)


@pytest.mark.parametrize(("seconds", "pauses"), [(0, []), (0.25, [0.25]), (1.7, [0.25, 0.5]), (1.75, [0.25, 0.5, 1])])
async def test_it_is_waited_for_no_longer_than_allowed(
    server: Server, module_database: str, clock: Clock, seconds: float, pauses: list[float]
) -> None:
    async with answering(server, *[STARTING] * 9) as address:
        url = f"postgresql://zoo_migrator@{address}/{module_database}?sslmode=disable"
        with pytest.raises(DatabaseUnreachable) as caught:
            await wait_for_database(engine(url), seconds)
    assert str(caught.value) == (
        f"the database is not ready: the database system is starting up (waited {seconds:g} s)"
    )
    assert clock.pauses == pauses


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (error("28P01", "no such password"), DatabaseRefused, "the database refuses the migrator: no such password"),
        (error("3D000", "no such database"), DatabaseRefused, "the database refuses the migrator: no such database"),
        (UNKNOWN_LOGIN, DatabaseRefused, "the database refuses the migrator: "),
        (
            error("08P01", "unsupported startup parameter: jit"),
            ConfigurationError,
            "MIGRATION_DATABASE_URL leads to a ",
        ),
        (error("08P01", "what"), DatabaseRefused, "the database refuses the migrator: what"),
        (error("XX000", "startup parameter"), DatabaseRefused, "the database refuses the migrator: startup parameter"),
        (error("42704", "unknown setting"), ConfigurationError, "MIGRATION_DATABASE_URL: options: unknown setting"),
        (error("22023", "invalid value"), ConfigurationError, "MIGRATION_DATABASE_URL: options: invalid value"),
    ],
)
async def test_one_that_refuses_is_not_waited_for(  # noqa: PLR0913, PLR0917 - a table
    server: Server, module_database: str, clock: Clock, answer: bytes, kind: type[Exception], said: str
) -> None:
    async with answering(server, answer) as address:
        url = f"postgresql://zoo_migrator@{address}/{module_database}?sslmode=disable"
        with pytest.raises(kind) as caught:
            await wait_for_database(engine(url), 60)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(said)
    assert clock.pauses == []


async def test_one_that_does_not_prove_that_it_is_the_right_one_is_not_waited_for(tmp_path: Path, clock: Clock) -> None:
    own, other = Authority(tmp_path, "own"), Authority(tmp_path, "other")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*own.give("server", "localhost"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(ssl.SSLError, ConnectionError):
            await reader.read(65_536)  # whether there is TLS
            writer.write(b"S")
            await writer.start_tls(tls)

    listening = await asyncio.start_server(serve, "localhost")
    port = listening.sockets[0].getsockname()[1]
    url = f"postgresql://zoo_migrator@localhost:{port}/zoo?sslmode=verify-full&sslrootcert={other.path}"
    said = "^the database does not prove that it is the right one: .* certificate; see sslmode and sslrootcert$"
    with pytest.raises(DatabaseRefused, match=said):
        await wait_for_database(engine(url), 60)
    listening.close()
    assert clock.pauses == []


async def test_what_the_role_may_not_do_is_said(server: Server, database: str, admin: asyncpg.Connection) -> None:
    async def refused(role: str, options: str = "") -> tuple[type[Exception], str]:
        try:
            await wait_for_database(engine(f"{server.url(role, database)}{options}"), 0, to_write=True)
        except MigratorError as error:
            return type(error), str(error)
        raise AssertionError(role)

    kind, said = await refused("zoo_api")
    assert kind is ConfigurationError
    assert said == (
        "the role zoo_api may not change the schema: use a role in MIGRATION_DATABASE_URL that may "
        "(GRANT CREATE ON SCHEMA public TO ...)"
    )
    kind, said = await refused("zoo_migrator", "&options=-c%20search_path%3Dnowhere")
    assert kind is ConfigurationError
    assert said == "the search_path of the role zoo_migrator names no schema that it may use"
    kind, said = await refused("zoo_migrator", "&options=-c%20default_transaction_read_only%3Don")
    assert kind is DatabaseUnreachable
    assert said.startswith("the database is read-only: default_transaction_read_only is on, or it is a standby")
    await admin.execute("REVOKE EXECUTE ON FUNCTION pg_backend_pid FROM PUBLIC")
    kind, said = await refused("zoo_migrator")
    assert kind is ConfigurationError
    assert said.startswith("MIGRATION_DATABASE_URL leads to a connection pooler")
    assert said.endswith("permission denied for function pg_backend_pid)")
    await admin.execute("GRANT EXECUTE ON FUNCTION pg_backend_pid TO PUBLIC")
    await admin.execute("REVOKE EXECUTE ON FUNCTION has_schema_privilege(text, text) FROM PUBLIC")
    kind, said = await refused("zoo_migrator")
    assert kind is DatabaseRefused
    assert said.endswith("permission denied for function has_schema_privilege")
    assert said.startswith("the database refuses the migrator: ")


async def test_one_that_only_reads_is_enough_to_look(server: Server, module_database: str) -> None:
    url = f"{server.url('zoo_migrator', module_database)}&options=-c%20default_transaction_read_only%3Don"
    await wait_for_database(engine(url), 0)
