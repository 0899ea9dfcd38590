"""A Postgres of its own for every run, a migrated database for every worker, a transaction for every test."""

import asyncio
import contextlib
import gc
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import structlog
from execnet import XSpec
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool
from starlette.types import Receive, Scope, Send

from api.background import Background
from api.database import probes
from api.database.driver import Database, PooledConnection
from api.database.engine import create_engine, create_sessionmaker
from api.database.probes import Probes
from api.external_services.http import tls
from api.external_services.mail import Mail
from api.external_services.s3 import S3
from api.external_services.s3_buckets import make_buckets
from api.external_services.services import Services, open_services
from api.log import configure_log
from api.main import Api, create_app
from api.server.repeats import RepeatFilter
from api.settings import Settings
from api.state import NAME, State
from api.tasks import end
from local import storage as local_storage
from local.postgres import DATABASE, OTHER_BINARIES, SUPERUSER, Server, serve
from local.storage import Started, Storage
from tests.bearer import bearer
from tests.ports import free_port  # noqa: F401 - a fixture
from tests.python import HANGS, run
from tests.rounds import ROUNDS
from tests.sharing import share_what_is_always_the_same
from tests.users import add_people, real_hashes  # noqa: F401 - a fixture
from tests.workers import start_forking

ROOT = Path(__file__).parent.parent
SOCKET_DIR = "ZOO_TEST_SOCKET_DIR"  # in the environment, which pytest-xdist's workers inherit
POOLER_PORT = "ZOO_TEST_POOLER_PORT"  # in the environment: of a pooler in front of it, through which the api connects
SCHEMA = Path(os.environ.get("ZOO_TEST_SCHEMA", ROOT))  # the checkout whose revisions create the tests' schema
ROOM = 8 * 2**30  # bytes; the tests with a million rows take half of them
MIGRATED = "zoo_migrated"
EMPTY = "zoo_empty"
# Unsafe if the machine crashes, which does not matter for test data.
FAST_AND_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "max_connections": "300",
    **({} if OTHER_BINARIES in os.environ else {"io_method": "sync"}),  # new in Postgres 18
}
# How many sessions wait for a lock on this database; other workers have their own.
WAITING = (
    "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks WHERE database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database()))"
)

Log = dict[str, Any]
"""A line of the log."""

running = ExitStack()
TEMPLATES = pytest.StashKey[Callable[[], None]]()
WORKERS = pytest.StashKey[str | None]()

share_what_is_always_the_same()


def log_plainly() -> None:
    """Log as by default, but without the values of all variables in a traceback, which take a second each."""
    structlog.reset_defaults()
    *others, _ = structlog.get_config()["processors"]
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*others, console])


def pytest_configure() -> None:
    log_plainly()
    gc.disable()  # nothing that is imported is garbage
    if ROUNDS not in {"quick", "full"}:
        raise pytest.UsageError(f"ROUNDS is quick or full, not {ROUNDS}")
    if sys.platform == "linux":
        # More goes on at once than there are cores: a process that others wake up does not interrupt the one at work.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    # A shell ignores SIGINT for background jobs; the processes that tests start must not inherit that.
    signal.signal(signal.SIGINT, interrupt)


def pytest_sessionstart(session: pytest.Session) -> None:
    """In time for pytest-xdist's workers, which import and collect tests while the templates are made."""
    if SOCKET_DIR in os.environ or session.config.option.collectonly:
        return
    if session.config.pluginmanager.hasplugin("dsession"):
        session.config.stash[WORKERS] = start_forking(session.config.invocation_params.args, running)
    session.stash[TEMPLATES] = start_server()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[XSpec]) -> None:
    for spec in specs:
        spec.python = config.stash.get(WORKERS, None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """No test starts before this has returned, in workers neither."""
    if make_templates := session.stash.get(TEMPLATES, None):
        make_templates()


def start_server() -> Callable[[], None]:
    """Start this run's Postgres, for what runs in SOCKET_DIR and TMPDIR; what is returned makes its templates."""
    made = tempfile.TemporaryDirectory(prefix="zoo-test-", dir=in_memory(), ignore_cleanup_errors=True)
    tempfile.tempdir = os.environ["TMPDIR"] = folder = running.enter_context(made)  # for tests and their processes, too
    server = running.enter_context(serve(Path(folder) / "data", FAST_AND_FORGETFUL))
    for template in (EMPTY, MIGRATED):
        server.create_database(template)
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    env = os.environ | server.environment(MIGRATED)
    migrate = running.enter_context(
        subprocess.Popen(command, cwd=SCHEMA, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    )
    os.environ[SOCKET_DIR] = str(server.socket_dir)

    def make_templates() -> None:
        printed, _ = migrate.communicate()
        assert migrate.returncode == 0, printed
        asyncio.run(add_people(server, MIGRATED))
        asyncio.run(forget_backfills(server, MIGRATED))

    return make_templates


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()  # it takes a sixth of a second to look through all that is there by now
    gc.enable()
    gc.set_threshold(20_000)  # at each 700 new objects, looking for garbage is 2 % of the work
    is_needed = any("storage" in getattr(item, "fixturenames", ()) for item in session.items)
    if is_needed and not session.config.option.collectonly:
        start_storage()


@cache
def start_storage() -> Started:
    """Start this worker's S3. It takes 2 s: other tests run meanwhile."""
    return running.enter_context(local_storage.serve(Path(tempfile.mkdtemp(prefix="zoo-s3-test-")) / "storage"))


def interrupt(_: int, __: object) -> None:
    """Do what Python's own handler does, but asyncio would replace that one for every fixture and test."""
    raise KeyboardInterrupt


def pytest_unconfigure() -> None:
    running.close()


def in_memory() -> str | None:
    """A folder in memory, where databases are cloned in a tenth of the time; None if it has no room for them."""
    with contextlib.suppress(OSError):
        found = os.statvfs("/dev/shm")
        if found.f_bavail * found.f_frsize > ROOM and not found.f_flag & os.ST_NOEXEC:
            return "/dev/shm"
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured: `record_property("measured", ...)`."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    measured = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "measured" and report.when == "call"
    ]
    if measured:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(measured))


def alembic(
    environment: dict[str, str], *arguments: str, cwd: Path = ROOT, timeout: float = HANGS
) -> subprocess.CompletedProcess[str]:
    """Run Alembic as people do, in a process of its own."""
    return run("alembic", *arguments, env=os.environ | {"LOG_FORMAT": "text"} | environment, cwd=cwd, timeout=timeout)


class PooledServer(Server):
    """A server to which the api connects through a pooler, as ZOO_TEST_POOLER_PORT says."""

    def url(self, role: str, database: str = DATABASE) -> str:
        if role == "zoo_api":
            return f"postgresql://{role}@127.0.0.1:{os.environ[POOLER_PORT]}/{database}"
        return super().url(role, database)


@pytest.fixture(scope="session")
def server() -> Server:
    """The embedded Postgres of this run."""
    return (PooledServer if POOLER_PORT in os.environ else Server)(Path(os.environ[SOCKET_DIR]))


def engine_for(url: str) -> AsyncEngine:
    """SQLAlchemy's own connections, each closed after its use."""
    return create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)


async def superuser(server: Server, database: str = "postgres") -> asyncpg.Connection:
    return await asyncpg.connect(server.url(SUPERUSER, database))


@pytest.fixture
def own_sessions() -> None:
    """For tests that look at the api's sessions in Postgres: those of a pooler are nobody's."""
    if POOLER_PORT in os.environ:
        pytest.skip("behind a pooler, the api has no sessions of its own")


@pytest.fixture(scope="session")
async def maintenance(server: Server) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection that creates and drops databases."""
    connection = await superuser(server)
    yield connection
    await connection.close()


async def forget_backfills(server: Server, database: str) -> None:
    """Remove what is known of the zoo's own, which are done: tests have theirs."""
    connection = await superuser(server, database)
    await connection.execute("DROP TABLE IF EXISTS migration_backfills")
    await connection.close()


async def clone(maintenance: asyncpg.Connection, template: str = MIGRATED) -> str:
    """A copy of `template`, in some 20 ms. Privileges on a database, unlike those in it, are not copied."""
    name = f"zoo_{uuid4().hex}"
    await maintenance.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    await maintenance.execute(
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;"
        f"GRANT CONNECT ON DATABASE {name} TO zoo_api, zoo_migrator;"
        f"GRANT TEMPORARY ON DATABASE {name} TO zoo_migrator"
    )
    return name


async def drop(maintenance: asyncpg.Connection, database: str) -> None:
    await maintenance.execute(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture(scope="session")
async def worker_database(maintenance: asyncpg.Connection) -> str:
    """The database in which this worker's tests run, each in a transaction that is rolled back."""
    return await clone(maintenance)


@pytest.fixture
async def database(maintenance: asyncpg.Connection) -> AsyncIterator[str]:
    """A database for one test: for real commits and for concurrency."""
    name = await clone(maintenance)
    yield name
    await drop(maintenance, name)


@pytest.fixture(scope="module")
async def module_database(maintenance: asyncpg.Connection) -> AsyncIterator[str]:
    """One for all tests of a module: they change nothing, or other rows, or put back what they change."""
    name = await clone(maintenance)
    yield name
    await drop(maintenance, name)


@pytest.fixture
async def admin(server: Server, database: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection to the test's own database."""
    connection = await superuser(server, database)
    yield connection
    await connection.close()


@pytest.fixture
async def empty_database(maintenance: asyncpg.Connection) -> AsyncIterator[str]:
    """A database with the roles and nothing else."""
    name = await clone(maintenance, EMPTY)
    yield name
    await drop(maintenance, name)


@asynccontextmanager
async def engine_of_api(server: Server, database: str) -> AsyncIterator[AsyncEngine]:
    """Connections with the api's rights, which are kept until the block ends."""
    engine = create_async_engine(server.url("zoo_api", database).replace("postgresql:", "postgresql+asyncpg:"))
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
async def engine(server: Server, worker_database: str) -> AsyncIterator[AsyncEngine]:
    async with engine_of_api(server, worker_database) as engine:
        yield engine


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        transaction = await connection.begin()
        await connection.execute(select(1))  # only this begins it on the server
        yield connection
        await transaction.rollback()


@pytest.fixture
def sessionmaker(connection: AsyncConnection) -> async_sessionmaker[AsyncSession]:
    """Sessions whose commits and rollbacks are real, to a savepoint inside the test's transaction."""
    return async_sessionmaker(connection, expire_on_commit=False, join_transaction_mode="create_savepoint")


@pytest.fixture
async def session(sessionmaker: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncSession]:
    async with sessionmaker() as session:
        yield session


@pytest.fixture
def driver(connection: AsyncConnection) -> Database:
    """The driver's connections: always the one of the test's transaction, in which each use has a savepoint."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[asyncpg.Connection]:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        async with driver.transaction():
            yield driver

    return Database(connect)


@cache
def default_settings() -> Settings:
    """Read once: it takes as long as a request."""
    return Settings()


@pytest.fixture(scope="session")
def worker_app() -> Api:
    """The api of this worker, because creating one takes longer than most tests."""
    return create_app(default_settings())


@dataclass
class Served:
    """An app as a server calls it: each request has the state that the lifespan has created."""

    app: FastAPI
    state: State

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "state": {NAME: self.state}}, receive, send)

    def client(self, name: str | None = None, **options: Any) -> httpx.AsyncClient:
        """A client with this name as its token, or without one."""
        transport = httpx.ASGITransport(self, **options)
        headers = {} if name is None else bearer(name)
        return httpx.AsyncClient(transport=transport, base_url="http://zoo.test", headers=headers)


@pytest.fixture
def services() -> Services:
    """Those of the app: none. A module whose tests need some has its own."""
    return Services()


Serve = Callable[[Api], Served]


@pytest.fixture
async def serve_here(
    services: Services,
    sessionmaker: async_sessionmaker[AsyncSession],
    driver: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Serve]:
    """Serves an app on the test's own transaction, such as one with other settings."""
    monkeypatch.setattr(probes, "ANSWER_SECONDS", 60)  # on a busy machine; TestDatabaseHealth has the real one
    background = Background()

    def serve(app: Api) -> Served:
        settings = app.settings
        state = State(settings, driver, sessionmaker, Probes(sessionmaker), services, Mail(settings), background)
        return Served(app, state)

    yield serve
    await background.finish()


@pytest.fixture
def app(request: pytest.FixtureRequest, services: Services, serve_here: Serve) -> Served:
    """The api, on the test's own transaction. A test that changes it creates its own."""
    return serve_here(request.getfixturevalue("worker_app_with_storage" if services.s3 else "worker_app"))


@pytest.fixture
def client(app: Served) -> httpx.AsyncClient:
    """A client of the api, on the test's own transaction, signed in as the admin."""
    return app.client("admin")  # it has no connection to be closed; an async fixture costs as much as a request


@pytest.fixture
def anonymous(app: Served) -> httpx.AsyncClient:
    """A client of the api, on the test's own transaction, that says nothing of itself."""
    return app.client()


@asynccontextmanager
async def serve_app(app: FastAPI) -> AsyncIterator[Served]:
    """The api as it really runs, with its lifespan, on an engine of its own."""
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        yield Served(app, state[NAME])


@asynccontextmanager
async def serve_requests(app: Api) -> AsyncIterator[Served]:
    """The api on an engine of its own, without what it does by itself, which takes longer than most tests' requests."""
    engine = create_engine(app.settings)
    sessions, background = create_sessionmaker(engine), Background()
    database, probing = Database(partial(PooledConnection, engine)), Probes(sessions)
    try:
        async with open_services(app.settings) as services:
            state = State(app.settings, database, sessions, probing, services, Mail(app.settings), background)
            yield Served(app, state)
            await background.finish()
    finally:
        await end(*probing.at_work)
        await engine.dispose()


@asynccontextmanager
async def answering(app: Api) -> AsyncIterator[httpx.AsyncClient]:
    """A client of such an api, signed in as the admin."""
    async with serve_requests(app) as served, served.client("admin", raise_app_exceptions=False) as client:
        yield client


@asynccontextmanager
async def started(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the api as it really runs, signed in as the admin."""
    async with serve_app(app) as served, served.client("admin", raise_app_exceptions=False) as client:
        yield client


def state_of(client: httpx.AsyncClient) -> State:
    """The state of the client's app."""
    served = client._transport.app  # type: ignore[attr-defined]  # noqa: SLF001 - httpx's
    assert isinstance(served, Served)
    return served.state


@pytest.fixture
async def committing_client(server: Server, database: str) -> AsyncIterator[httpx.AsyncClient]:
    async with committing(server, database) as client:
        yield client


@asynccontextmanager
async def committing(server: Server, database: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose requests really commit, each on a connection of its own."""
    settings = Settings(
        database_url=server.url("zoo_api", database),
        database_pool_size=40,  # of which one client gets half
        database_pool_timeout=60,  # on a busy machine a crowd takes its time
        database_connect_timeout=60,
    )
    async with answering(create_app(settings)) as client:
        yield client


def settings_of(environment: dict[str, str], **settings: Any) -> Settings:
    """The settings that these variables of the environment mean, and others."""
    return Settings(**({name.lower(): value for name, value in environment.items()} | settings))


@pytest.fixture(scope="session")
async def storage() -> Storage:
    """A real S3 with its buckets, one for all tests of this worker that need it."""
    storage = start_storage().wait()
    await make_buckets(settings_of(storage.admin_environment()))
    return storage


@pytest.fixture(scope="session")
async def s3(storage: Storage) -> AsyncIterator[S3]:
    """The api's client of that storage, with the api's own key."""
    s3 = S3(settings_of(storage.environment()))
    yield s3
    await s3.close()


def browser(**options: Any) -> httpx.AsyncClient:
    """Anybody's client of the storage, without the certificates of TLS, which take 30 ms to load."""
    return httpx.AsyncClient(trust_env=False, verify=tls("http:"), **{"timeout": HANGS, **options})


@pytest.fixture(scope="session")
def worker_app_with_storage(storage: Storage) -> Api:
    return create_app(settings_of(storage.environment()))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Log]]]:
    """What this test has logged so far, in the form that the serving api logs."""
    level, written, repeats = logging.root.level, io.StringIO(), RepeatFilter()
    monkeypatch.setattr(logging.root, "handlers", [])
    with contextlib.redirect_stderr(written):
        configure_log("json", repeats)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    repeats.forget()  # the next test has the same event loop, and its timers
    logging.captureWarnings(False)
    logging.root.setLevel(level)
    log_plainly()


def uncoloured(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
