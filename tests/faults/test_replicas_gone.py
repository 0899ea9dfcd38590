"""A replica that is gone, or is none any more; and a primary that is away while its replica is not."""

import asyncio
import time
from pathlib import Path

import pytest

from api.database import replica as api_replica
from tests.faults.reading import MAX_LAG, PAUSE, RESUME, api_with, frozen, is_not, readers, rename, tell_apart, until
from tests.faults.replication import Node, replica_of
from tests.rounds import STALL, rounds


async def test_a_replica_that_is_killed_again_and_again_costs_no_read(primary: Node, replica: Node) -> None:
    async with api_with(primary, replica.url()) as api, readers(api) as answers:
        for _ in range(rounds(quick=2, full=10)):
            await until(api.is_on_replica)
            await asyncio.sleep(0.2)
            replica.kill()
            await until(is_not(api.is_on_replica))
            replica.start()
        await until(api.is_on_replica)
    assert {answer.status_code for answer in answers} == {200}


async def test_a_replica_that_hangs_costs_no_read_and_soon_no_time(primary: Node, replica: Node) -> None:
    async with api_with(primary, replica.url()) as api:
        await asyncio.gather(*(api.read() for _ in range(4)))
        with frozen(replica):
            began = time.monotonic()
            assert await asyncio.gather(*(api.read() for _ in range(4))) == ["old"] * 4
            assert time.monotonic() - began < api_replica.LOOK_SECONDS + api_replica.ANSWER_SECONDS + STALL
            assert not await api.has_a_replica()


async def test_a_replica_that_is_promoted_is_not_read_from_though_the_primary_lives(
    primary: Node, replica: Node
) -> None:
    async with api_with(primary, replica.url()) as api:
        await tell_apart(primary, replica, api)
        await replica.do(RESUME, "SELECT pg_promote()")
        assert await until(is_not(api.is_on_replica)) < 2 * api_replica.LOOK_SECONDS + STALL
        await rename(replica, "of another history")
        assert {await api.read() for _ in range(20)} == {"new"}


async def test_a_replica_of_another_history_is_not_read_from(
    primary: Node, replica: Node, origin: Path, tmp_path: Path
) -> None:
    """The api's primary is the one that was promoted; the other one lives, and its replica with it."""
    with replica_of(primary, origin, tmp_path, "promoted") as promoted:
        await until(lambda: promoted.do("SELECT count(*) > 0 FROM animals"))
        await promoted.do("SELECT pg_promote()")
        await rename(promoted, "new")
        for _ in range(20):  # so that the other history is further on
            await rename(primary, "old")
        async with api_with(promoted, replica.url(), is_read=False) as api:
            await asyncio.sleep(3 * api_replica.LOOK_SECONDS)
            assert {await api.read() for _ in range(20)} == {"new"}
            assert not await api.is_on_replica()


async def test_a_primary_is_no_replica(primary: Node) -> None:
    async with api_with(primary, primary.url(), is_read=False) as api:
        await asyncio.sleep(2 * api_replica.LOOK_SECONDS)
        assert await api.read() == "old"
        assert not await api.is_on_replica()


async def test_while_the_primary_is_away_reads_go_on_for_a_while_and_say_that_they_may_be_stale(
    primary: Node, replica: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_replica, "STALE_SECONDS", MAX_LAG + 4)
    async with api_with(primary, replica.url(), MAX_LAG) as api:
        primary.stop()
        began = time.monotonic()
        marks = []
        while (answer := await api.anonymous.get("/animals")).status_code == 200:
            marks.append(answer.headers.get("X-Stale-Seconds"))
            ready = await api.anonymous.get("/health/ready")
            # What the replica does not have may be there all the same.
            assert (await api.anonymous.get("/animals/2")).status_code == 503
            assert (await api.admin.get("/animals/1")).status_code == 503
            assert ready.status_code == 200 or time.monotonic() - began > MAX_LAG
            await asyncio.sleep(0.1)
        assert MAX_LAG < time.monotonic() - began < api_replica.STALE_SECONDS + STALL
        assert (await api.anonymous.get("/health/ready")).status_code == 503
        assert marks[0] is None
        stale = [int(mark) for mark in marks if mark is not None]
        assert stale == sorted(stale)
        assert MAX_LAG < stale[0] <= stale[-1] <= api_replica.STALE_SECONDS
        primary.start()
        await until(api.is_on_replica)
        assert "X-Stale-Seconds" not in (await api.anonymous.get("/animals/1")).headers


async def test_no_read_fails_when_the_primary_goes_away_of_which_the_replica_lacks_the_last_second(
    primary: Node, replica: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_replica, "LOOK_SECONDS", 0.2)  # so that a busy machine has time, too
    async with api_with(primary, replica.url(), max_lag=5) as api:
        await replica.do(PAUSE)
        await rename(primary, "new")
        await asyncio.sleep(1)  # the primary is noted to be further on
        primary.stop()
        stale = None
        while stale is None:
            answer = await api.anonymous.get("/animals")
            assert answer.status_code == 200, answer.text
            stale = answer.headers.get("X-Stale-Seconds")
            await asyncio.sleep(0.1)
        assert int(stale) > 5
