"""An api with a database and a replica of it, whose answers tell where they come from."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from api.database.errors import DATABASE_ERRORS
from api.database.replica import NotRead
from api.errors import Unavailable
from api.main import create_app
from api.settings import Settings
from tests.conftest import Served, serve_app
from tests.faults.replication import Node

MAX_LAG = 3.0
LONG = 60.0  # a lag that no test reaches
RENAME = ["UPDATE animals SET name = '{0}'", "UPDATE exhibits SET name = '{0}'"]
PAUSE, RESUME = "SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()"


class Api:
    """The api with a primary and a replica, and clients of it."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.anonymous = served.client(raise_app_exceptions=False)
        self.admin = served.client("admin", raise_app_exceptions=False)

    async def has_a_replica(self) -> bool:
        """Whether a replica is known to be near the primary."""
        assert self.served.state.replica is not None
        return self.served.state.replica.can_stand_in()

    async def is_on_replica(self) -> bool:
        """Whether what anybody reads is the replica's."""
        replica = self.served.state.replica
        assert replica is not None
        try:
            async with replica.connect():
                return True
        except (NotRead, Unavailable, *DATABASE_ERRORS):
            return False

    async def read(self, path: str = "/animals/1", **options: Any) -> str:
        """The name of the record that anybody reads there: it tells which server has answered."""
        answer = await self.anonymous.get(path, **options)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        record = found[0] if isinstance(found, list) else found
        return str(record["name"])


@asynccontextmanager
async def api_with(
    primary: Node, read_url: str, max_lag: float = LONG, *, is_read: bool = True, pool_size: int = 8
) -> AsyncIterator[Api]:
    """The api; if there is a replica, it is read from."""
    settings = Settings(
        database_url=primary.url(),
        database_read_url=read_url,
        read_max_lag_seconds=max_lag,
        database_pool_size=pool_size,
        database_connect_timeout=10,  # on a busy machine
    )
    async with serve_app(create_app(settings)) as served:
        api = Api(served)
        if is_read:
            await until(api.has_a_replica)
        yield api


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 30) -> float:
    """Wait until it holds; returns the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)
    return time.monotonic() - began


def is_not(condition: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
    async def does_not_hold() -> bool:
        return not await condition()

    return does_not_hold


async def rename(node: Node, name: str) -> None:
    await node.do(*(statement.format(name) for statement in RENAME))


def reads(api: Api, name: str) -> Callable[[], Awaitable[bool]]:
    async def is_read() -> bool:
        return await api.read() == name

    return is_read


async def tell_apart(primary: Node, replica: Node, api: Api) -> None:
    """Let the names be `new` on the primary, and `old` on the replica, which is read from."""
    await replica.do(PAUSE)
    await rename(primary, "new")
    assert await api.read() == "old"


@contextmanager
def frozen(node: Node) -> Iterator[None]:
    """Until the block ends, the server does nothing, and its kernel still confirms packets."""
    processes = node.processes()
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


async def scans(node: Node) -> int:
    """How many statements have read animals, as far as the sessions that did so have reported it."""
    found = await node.do("SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'animals'")
    assert isinstance(found, int)
    return found


@asynccontextmanager
async def readers(api: Api) -> AsyncIterator[list[httpx.Response]]:
    """Until the block ends, clients without a token read the animal; their answers."""
    answers: list[httpx.Response] = []
    is_over = False

    async def read_on() -> None:
        while not is_over:
            answers.append(await api.anonymous.get("/animals/1"))
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(read_on()) for _ in range(4)]
    try:
        yield answers
    finally:
        is_over = True
        await asyncio.gather(*tasks)
