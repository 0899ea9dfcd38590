"""The work on photos while the storage fails, the decoder dies, or another worker takes over: the next try ends it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.photos import work
from api.decoder import run as decoder
from api.decoder.run import only_decoder
from api.errors import BadGateway, Unavailable
from api.external_services.s3 import S3
from api.external_services.services import Services
from api.main import create_app
from local.postgres import Server
from local.storage import Storage
from tests.api.holding import holding
from tests.api.keeping import admin, database, keeping
from tests.api.photos.photographing import keys, settings_through, upload, work_off
from tests.api.records import make
from tests.api.storage_proxy import StorageProxy, proxying
from tests.api.test_metrics import count
from tests.conftest import Log, answering, state_of

__all__ = ["admin", "database", "keeping"]  # fixtures

pytestmark = pytest.mark.usefixtures("no_backoff")


@pytest.fixture
async def proxy(storage: Storage) -> AsyncIterator[StorageProxy]:
    async with proxying(storage.url) as proxy:
        yield proxy


@pytest.fixture
async def services(storage: Storage, proxy: StorageProxy) -> AsyncIterator[Services]:
    s3 = S3(settings_through(proxy, storage))
    yield Services(s3=s3)
    await s3.close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """So long that they are told apart from each other, and from the lease, on any machine."""
    monkeypatch.setattr(work, "PAUSE", timedelta(hours=2))
    monkeypatch.setattr(work, "LONG_PAUSE", timedelta(hours=4))


@pytest.fixture
async def committing_client(
    server: Server, database: str, storage: Storage, proxy: StorageProxy
) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_through(proxy, storage, database_url=server.url("zoo_api", database), database_pool_timeout=60)
    async with answering(create_app(settings)) as client:
        yield client


@pytest.fixture
async def animal(committing_client: httpx.AsyncClient) -> int:
    made: int = (await make(committing_client, "/animals"))["id"]
    return made


@pytest.fixture
async def path(client: httpx.AsyncClient) -> str:
    """Of a photo that is to be worked on."""
    return await upload(client, (await make(client, "/animals"))["id"])


async def state(session: AsyncSession, path: str) -> tuple[str, str | None, int, float | None]:
    """Of the photo: its state, why it failed, how often it was tried, and for how many hours, rounded, nobody may."""
    left = "round(extract(epoch FROM claimed_until - statement_timestamp()) / 3600)"
    read = text(f"SELECT state, reason, tries, {left} FROM photos WHERE id = :id")
    row = (await session.execute(read, {"id": int(path.rpartition("/")[2])})).one()
    return row.state, row.reason, row.tries, None if row[3] is None else float(row[3])


async def make_due(session: AsyncSession) -> None:
    await session.execute(text("UPDATE photos SET claimed_until = statement_timestamp()"))
    await session.commit()


async def work_once(client: httpx.AsyncClient, error: type[BaseException]) -> None:
    with pytest.raises(error):
        await work_off(client)


class TestStorage:
    async def test_one_that_is_away_is_asked_again_soon_and_never_fails_a_photo(
        self, client: httpx.AsyncClient, session: AsyncSession, proxy: StorageProxy, path: str
    ) -> None:
        proxy.always = "drop"
        for _ in range(work.TRIES + 1):
            await work_once(client, Unavailable)
            assert await state(session, path) == ("processing", None, 0, 2)
            await work_off(client)  # nothing is due
            await make_due(session)
        proxy.always = "pass"
        await work_off(client)
        assert await state(session, path) == ("ready", None, 0, None)

    async def test_one_that_takes_too_long_is_one_that_is_away(
        self, client: httpx.AsyncClient, session: AsyncSession, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(work, "WORK_SECONDS", 0)
        await work_once(client, TimeoutError)
        assert await state(session, path) == ("processing", None, 0, 2)

    @pytest.mark.parametrize("answers", [["pass", "403"], []], ids=["to be written", "anything"])
    async def test_one_that_refuses_is_asked_again_late_and_at_last_the_photo_has_failed(
        self, client: httpx.AsyncClient, session: AsyncSession, proxy: StorageProxy, s3: S3, answers: list[str]
    ) -> None:
        """Its upload is deleted, if the storage does not refuse that, too."""
        before = await keys(s3)
        path = await upload(client, (await make(client, "/animals"))["id"])
        proxy.always = "pass" if answers else "403"
        for tries in range(1, work.TRIES + 1):
            proxy.script.extend(answers)
            await work_once(client, BadGateway)
            if tries < work.TRIES:
                assert await state(session, path) == ("processing", None, tries, 4)
                await make_due(session)
        assert await state(session, path) == ("failed", "The storage answers 403", 0, None)
        assert len(await keys(s3) - before) == (0 if answers else 1)

    async def test_a_photo_that_is_removed_is_so_however_often_it_refuses(
        self, client: httpx.AsyncClient, session: AsyncSession, proxy: StorageProxy, path: str
    ) -> None:
        await client.delete(path)
        proxy.always = "403"
        for tries in range(1, work.TRIES + 2):
            await work_once(client, BadGateway)
            assert await state(session, path) == ("removed", None, tries, 4)
            await make_due(session)
        proxy.always = "pass"
        await work_off(client)
        assert await session.scalar(text("SELECT count(*) FROM photos")) == 0


class TestDecoder:
    async def test_if_it_dies_again_and_again_the_photo_has_failed(
        self,
        client: httpx.AsyncClient,
        session: AsyncSession,
        s3: S3,
        log: Callable[[], list[Log]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        before = await keys(s3)
        path = await upload(client, (await make(client, "/animals"))["id"])
        monkeypatch.setattr(work, "decode", decoder.decode)
        monkeypatch.setattr(decoder, "SECONDS", 0)
        for tries in range(1, work.TRIES):
            await work_off(client)
            assert await state(session, path) == ("processing", None, tries, 2)
            await make_due(session)
        await work_off(client)
        why = "it takes more than 0 s to decode"
        assert await state(session, path) == ("failed", why, 0, None)
        assert await keys(s3) == before
        lines = [(line["event"], line.get("tries"), line["reason"]) for line in log() if "photo" in line]
        died = [("photo not decoded", tries, why) for tries in range(1, work.TRIES + 1)]
        assert lines == [*died, ("photo failed", None, why)]

    @pytest.mark.parametrize("killed", [work.TRIES - 1, work.TRIES])
    async def test_if_the_server_dies_again_and_again_the_photo_has_failed(
        self, client: httpx.AsyncClient, session: AsyncSession, s3: S3, path: str, killed: int
    ) -> None:
        await session.execute(text("UPDATE photos SET tries = :killed"), {"killed": killed})
        await session.commit()
        await work_off(client)
        if killed < work.TRIES:
            assert await state(session, path) == ("ready", None, 0, None)
        else:
            assert await state(session, path) == ("failed", work.KILLED, 0, None)
            assert f"incoming/{await session.scalar(text('SELECT upload FROM photos'))}" not in await keys(s3)


class TestOthers:
    async def test_one_that_is_stopped_leaves_the_photo_to_the_next(
        self, client: httpx.AsyncClient, session: AsyncSession, proxy: StorageProxy, path: str
    ) -> None:
        reached = asyncio.Event()

        async def watch(_: str, __: str) -> None:
            reached.set()
            await proxy.ended.wait()

        proxy.watch = watch
        worker = asyncio.create_task(work_off(client))
        await reached.wait()
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
        assert await state(session, path) == ("processing", None, 0, 0)
        proxy.watch = None
        await work_off(client)
        assert await state(session, path) == ("ready", None, 0, None)

    @pytest.mark.parametrize("of", ["processing", "removed", "away"])
    async def test_what_one_has_claimed_is_its_own_until_another_takes_over(
        self, client: httpx.AsyncClient, session: AsyncSession, proxy: StorageProxy, path: str, of: str
    ) -> None:
        begun = "removed" if of == "removed" else "processing"
        if of == "removed":
            await client.delete(path)
        transactions, s3 = state_of(client).sessionmaker.begin, state_of(client).services.s3
        assert s3
        seen: list[object] = []

        async def watch(_: str, __: str) -> None:
            proxy.watch = None
            seen.extend([await state(session, path), await work.work(transactions, s3, 0)])
            await session.execute(text("UPDATE photos SET claimed_until = statement_timestamp() + interval '9 h'"))
            await session.commit()
            if of == "away":
                proxy.always = "drop"
                raise ConnectionError

        proxy.watch = watch
        if of == "away":
            await work_once(client, Unavailable)
        else:
            await work_off(client)
        assert seen == [(begun, None, 1, 0), False]
        assert await state(session, path) == (begun, None, 1, 9)

    async def test_one_that_is_locked_is_passed_over(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, animal: int
    ) -> None:
        """As while another worker claims it, or a request changes it."""
        paths = [await upload(committing_client, animal) for _ in range(2)]
        async with asyncio.timeout(60), holding(admin, "SELECT FROM photos ORDER BY id LIMIT 1 FOR NO KEY UPDATE"):
            await work_off(committing_client)
        states = [(await committing_client.get(path)).json()["state"] for path in paths]
        assert states == ["processing", "ready"]

    async def test_several_claim_one_each_at_once(self, committing_client: httpx.AsyncClient, animal: int) -> None:
        paths = [await upload(committing_client, animal) for _ in range(2)]
        begin = state_of(committing_client).sessionmaker.begin
        async with begin() as one, begin() as other:
            claimed = [await work._claim(session) for session in (one, other)]  # noqa: SLF001 - both, before they end
        assert [photo and photo.id for photo in claimed] == [int(path.rpartition("/")[2]) for path in paths]


@asynccontextmanager
async def tending(client: httpx.AsyncClient) -> AsyncIterator[Callable[[], float]]:
    """What the api does in its background; how many rounds were done since it began."""

    def done() -> float:
        return count("sweeps_total", sweep="photos", outcome="done")

    before, state = done(), state_of(client)
    task = asyncio.create_task(
        work.keep_tending_photos(state.sessionmaker.begin, state.services.s3, state.photos_are_due)
    )
    yield lambda: done() - before
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def until(rounds: Callable[[], float], least: int) -> None:
    async with asyncio.timeout(60):
        while rounds() < least:
            await asyncio.sleep(0.01)


class TestRounds:
    @pytest.fixture(autouse=True)
    def own_decoder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Other tests use that of this machine."""
        monkeypatch.setattr(decoder, "LOCK", f"zoo-decoder-{os.getpid()}.lock")

    async def test_one_begins_when_it_is_told(
        self, committing_client: httpx.AsyncClient, animal: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(work, "LOOK_EVERY_SECONDS", 3600)
        async with tending(committing_client) as rounds:
            await until(rounds, 1)
            for ended in (2, 3):
                path = await upload(committing_client, animal)
                await until(rounds, ended)
                assert (await committing_client.get(path)).json()["state"] == "ready"
            assert rounds() == 3

    async def test_they_go_on_whatever_the_storage_does(
        self,
        committing_client: httpx.AsyncClient,
        animal: int,
        proxy: StorageProxy,
        log: Callable[[], list[Log]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(work, "LONG_PAUSE", timedelta(0))
        monkeypatch.setattr(work, "LOOK_EVERY_SECONDS", 0.01)
        path = await upload(committing_client, animal)
        proxy.script.append("403")
        async with tending(committing_client), asyncio.timeout(60):
            while (await committing_client.get(path)).json()["state"] != "ready":
                await asyncio.sleep(0.01)
        failed = [(line["level"], line["reason"]) for line in log() if line["event"] == "photos left for now"]
        assert failed == [("warning", "StorageRefused: The storage answers 403")]

    async def test_there_is_none_while_another_process_of_the_machine_decodes(
        self, committing_client: httpx.AsyncClient, animal: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(work, "LOOK_EVERY_SECONDS", 3600)
        path = await upload(committing_client, animal)
        async with tending(committing_client) as rounds:
            with only_decoder():
                await until(rounds, 1)
            assert (await committing_client.get(path)).json()["state"] == "processing"
            state_of(committing_client).photos_are_due.set()
            await until(rounds, 2)
            assert (await committing_client.get(path)).json()["state"] == "ready"
