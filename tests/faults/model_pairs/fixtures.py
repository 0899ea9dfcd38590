"""A bench for a test, on a database that a worker's tests share."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import EMPTY, clone, drop
from tests.faults.model_pairs.bench import Bench


@pytest.fixture(scope="module")
async def own_database(maintenance: asyncpg.Connection) -> AsyncIterator[str]:
    """A database whose schemas the migrating role may drop."""
    name = await clone(maintenance, EMPTY)
    await maintenance.execute(f"ALTER DATABASE {name} OWNER TO zoo_migrator")
    yield name
    await drop(maintenance, name)


@pytest.fixture(scope="module")
def own_bench(server: Server, own_database: str) -> Iterator[Bench]:
    """One for a module: what autogenerate reads of a database is compiled once for an engine, in half a second."""
    bench = Bench(server.url("zoo_migrator", own_database))
    yield bench
    bench.close()


@pytest.fixture
def bench(own_bench: Bench) -> Bench:
    """An empty one."""
    own_bench.clear()
    return own_bench
