"""Photos while the storage has faults, or the process that works on them is killed: the next try ends it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from api.crud.photos.work import work
from api.decoder.run import only_decoder
from api.errors import BadGateway, Unavailable
from api.external_services.http import MAX_SECONDS
from api.external_services.s3 import S3
from api.main import create_app
from local.postgres import Server
from local.storage import Storage
from tests.api.photos.photographing import PHOTO, begin, get, keys, put, upload
from tests.api.records import make
from tests.api.storage_proxy import StorageProxy, proxying
from tests.conftest import settings_of, started, state_of
from tests.ports import find_free_port
from tests.processes.live import START_SECONDS, gunicorn
from tests.python import Python, run
from tests.rounds import STALL, rounds

DUE = "UPDATE photos SET claimed_until = statement_timestamp()"
# What the proxy does, and whether that is 503, or else 502.
FAULTS = {"drop": True, "hold": True, "503": True, "cut": True, "403": False, "<html>Welcome, guest</html>": False}


@pytest.fixture
async def proxy(storage: Storage) -> AsyncIterator[StorageProxy]:
    async with proxying(storage.url) as proxy:
        yield proxy


@pytest.fixture
async def client(
    server: Server, database: str, storage: Storage, proxy: StorageProxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """Of an api that reaches the storage through the proxy; the test does its workers' work."""

    async def idle(*_: object) -> None:
        pass

    monkeypatch.setattr("api.main.keep_tending_photos", idle)
    environment = storage.environment() | {"S3_URL": proxy.url, "S3_UPLOAD_URL": storage.url}
    settings = settings_of(environment, database_url=server.url("zoo_api", database), database_pool_timeout=30)
    async with started(create_app(settings)) as client:
        yield client


async def work_once(client: httpx.AsyncClient) -> None:
    state = state_of(client)
    assert state.services.s3 is not None
    while True:
        with only_decoder() as lock:
            if lock is not None:
                await work(state.sessionmaker.begin, state.services.s3, lock)
                return
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("fault", "is_unavailable"), FAULTS.items())
async def test_a_fault_of_the_storage_is_said_and_the_next_try_is_done(
    client: httpx.AsyncClient, admin: asyncpg.Connection, proxy: StorageProxy, fault: str, *, is_unavailable: bool
) -> None:
    animal = (await make(client, "/animals"))["id"]
    begun = await begin(client, animal)  # a URL needs no storage
    await put(begun)
    path = f"/animals/{animal}/photos/{begun['id']}"
    proxy.always = fault
    since = time.monotonic()
    failed = await client.post(f"{path}/complete")
    assert time.monotonic() - since < MAX_SECONDS + STALL
    assert failed.status_code == (503 if is_unavailable else 502), failed.text
    assert "storage" in failed.json()["detail"].lower()
    assert (await client.get(path)).json()["state"] == "pending"
    assert (await client.get(f"/animals/{animal}")).status_code == 200
    proxy.always = "pass"
    assert (await client.post(f"{path}/complete")).status_code == 202

    proxy.always = fault
    for _ in range(2):
        with pytest.raises(Unavailable if is_unavailable else BadGateway):
            await work_once(client)
        await admin.execute(DUE)
    assert (await client.get(path)).json()["state"] == "processing"
    proxy.always = "pass"
    await work_once(client)
    assert (await client.get(path)).json()["state"] == "ready"

    await client.delete(path)
    proxy.always = fault
    with pytest.raises((Unavailable, BadGateway)):
        await work_once(client)
    await admin.execute(DUE)
    proxy.always = "pass"
    await work_once(client)
    assert await admin.fetchval("SELECT count(*) FROM photos") == 0


async def test_if_all_workers_are_killed_in_the_middle_of_it_others_end_it(  # noqa: PLR0913, PLR0917
    client: httpx.AsyncClient,
    server: Server,
    database: str,
    admin: asyncpg.Connection,
    storage: Storage,
    proxy: StorageProxy,
    tmp_path: Path,
) -> None:
    path = await upload(client, (await make(client, "/animals"))["id"])
    killed = asyncio.Event()

    async def watch(_: str, request: str) -> None:
        if request.startswith("PUT") and "/photos/" in request:
            for worker in psutil.Process(master.pid).children():
                worker.kill()
            killed.set()
            raise ConnectionError

    environment = server.environment(database) | storage.environment() | {"S3_URL": proxy.url}
    with ExitStack() as api:
        master = await asyncio.to_thread(
            api.enter_context, gunicorn(environment, find_free_port(), tmp_path / "api.log")
        )
        proxy.watch = watch
        async with asyncio.timeout(START_SECONDS):
            await killed.wait()
            proxy.watch = None
            assert (await client.get(path)).json()["state"] == "processing"
            await admin.execute(DUE)  # once, in place of waiting: another time, it would be taken from who has it then
            while (await client.get(path)).json()["state"] != "ready":
                await asyncio.sleep(0.2)
        await asyncio.to_thread(api.close)


# All requests of an import: the upload, its approval, and the work on it.
STEPS = [
    "PUT incoming",
    "HEAD incoming",
    "GET incoming",
    "PUT originals",
    "PUT photos",
    "PUT photos",
    "DELETE incoming",
]


EACH = [(step, moment) for step in range(len(STEPS)) for moment in ("before", "after")]
# After a request is before the next one, if neither changes the storage, or nothing is written between them.
DIFFERENT = [(0, "before"), (1, "before"), (2, "before"), (4, "before"), (5, "before"), (5, "after"), (6, "before"),
             (6, "after")]  # fmt: skip


@pytest.mark.parametrize(("step", "moment"), rounds(quick=DIFFERENT, full=EACH))
async def test_killed_at_any_step_the_next_run_ends_it(  # noqa: PLR0913, PLR0917
    server: Server,
    database: str,
    admin: asyncpg.Connection,
    storage: Storage,
    proxy: StorageProxy,
    s3: S3,
    tmp_path: Path,
    step: int,
    moment: str,
) -> None:
    await admin.execute("INSERT INTO animals (name) VALUES ('Amara')")
    (tmp_path / "Amara.jpg").write_bytes(PHOTO)
    environment = os.environ | server.environment(database) | storage.environment()
    before, seen = await keys(s3), 0
    reached = asyncio.Event()

    async def watch(when: str, request: str) -> None:
        nonlocal seen
        if when == moment:
            seen += 1
            if seen == step + 1:
                method, key = STEPS[step].split()
                assert request.startswith(f"{method} /")
                assert f"/{key}/" in request
                process.kill()
                reached.set()
                raise ConnectionError  # the killed process gets no answer

    proxy.watch = watch
    process = Python("api", "import-photos", str(tmp_path), env=environment | {"S3_URL": proxy.url})
    async with asyncio.timeout(300):
        await reached.wait()
    await asyncio.to_thread(process.wait)
    proxy.watch = None
    await admin.execute(DUE)
    again = await asyncio.to_thread(run, "api", "import-photos", str(tmp_path), env=environment, timeout=300)
    assert again.returncode == 0, again.stderr
    (ready,) = await admin.fetch("SELECT name FROM photos WHERE state = 'ready'")
    assert await admin.fetchval("SELECT photo FROM animals") == ready["name"]
    made = {key for key in await keys(s3) - before if not key.startswith("incoming/")}
    name = ready["name"]
    assert made == {f"originals/{name}", f"photos/{name}-320.webp", f"photos/{name}-1280.webp"}
    assert (await get(f"{storage.url}/zoo-public/photos/{name}-320.webp")).status_code == 200
    # An upload that was never completed, and its object, for the sweep.
    pending = await admin.fetch("SELECT upload FROM photos WHERE state <> 'ready'")
    assert {f"incoming/{row['upload']}" for row in pending} >= await keys(s3) - before - made
    assert len(pending) == (step <= 2 and (step, moment) < (2, "a"))
