"""A database that can't write, because its disk is full or it is read-only."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.live.clients import Sample, besides_busy
from tests.rounds import STALL
from tests.stack.drill import ANIMALS, at_work, between, figures, identity, is_good, recovery
from tests.stack.stack import NO_STORAGE, Stack, running
from tests.stack.users import ADMIN, sign_in
from tests.users import PASSWORD

FULL, READ_ONLY = (
    "The database's disk is full: nothing can be written now",
    "The database is read-only: nothing can be written now",
)
MADE = f"SELECT count(*) FROM animals WHERE id > {ANIMALS}"
WRONG = "of no account at all"
BACK_WITHIN = 60  # Docker waits longer before each start of a container that ends at once


def reads(samples: list[Sample]) -> set[int]:
    return {sample.status for sample in samples if sample.kind == "read"}


async def test_a_read_only_database_is_read_from_and_writes_get_503_that_says_why(
    stack_at_work: Stack, record_property: Callable[[str, object], None]
) -> None:
    before = identity(stack_at_work)
    async with at_work(stack_at_work) as load:
        await asyncio.sleep(2)
        stack_at_work.sql("postgres", "ALTER SYSTEM SET default_transaction_read_only = on")
        try:
            stack_at_work.sql("postgres", "SELECT pg_reload_conf()")
            await asyncio.sleep(1)
            began = time.monotonic()
            assert stack_at_work.get("/exhibits", headers=stack_at_work.headers).status_code == 200
            assert stack_at_work.get("/health/ready").status_code == 200
            for password in (PASSWORD, WRONG):  # neither a token nor a failure can be stored
                answer = await asyncio.to_thread(sign_in, stack_at_work, ADMIN, password)
                assert (answer.status_code, answer.json()) == (503, {"detail": READ_ONLY})
            await asyncio.sleep(2)
            ended = time.monotonic()
        finally:
            stack_at_work.sql("postgres", "ALTER SYSTEM RESET default_transaction_read_only")
            stack_at_work.sql("postgres", "SELECT pg_reload_conf()")
        healed = time.monotonic()
        await asyncio.sleep(3)
    assert identity(stack_at_work) == before
    samples = load.samples
    written = [sample for sample in samples if sample.kind == "write"]
    record_property("measured", figures(samples, [recovery(written, healed)]))
    assert {(sample.kind, sample.status, sample.detail) for sample in between(besides_busy(samples), began, ended)} == {
        ("read", 200, ""),
        ("write", 503, READ_ONLY),
    }
    assert all(sample.retry_after for sample in samples if sample.status == 503)
    assert all(is_good(sample) for sample in besides_busy(samples) if sample.began > healed + 2)


async def test_a_full_disk_is_read_from_and_written_to_once_it_has_room_without_a_restart_of_the_api(
    images: list[str],  # noqa: ARG001 - built before
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    override = tmp_path / "compose.yml"
    # The volume is in memory as long as a container uses it; this container keeps it, and fills it.
    filler = {"image": "postgres:18", "entrypoint": ["sleep", "infinity"], "volumes": ["db:/disk"], "init": True}
    disk = {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=256m"}}
    override.write_text(json.dumps({"services": {"filler": filler}, "volumes": {"db": disk}}))
    stack = Stack(NO_STORAGE, override, S3_UPLOAD_URL="")

    def fill() -> None:
        stack.exec("filler", "dd", "if=/dev/zero", "of=/disk/ballast", "bs=64k", check=False)

    def free() -> float:
        stack.exec("filler", "rm", "/disk/ballast")
        return time.monotonic()

    with running(stack):
        before = identity(stack)
        async with at_work(stack) as load:
            await asyncio.sleep(2)
            await asyncio.to_thread(fill)
            await asyncio.sleep(3)
            filled = time.monotonic()
            assert stack.get("/exhibits", headers=stack.headers).status_code == 200
            await asyncio.sleep(3)
            freeing = time.monotonic()
            freed = await asyncio.to_thread(free)
            await asyncio.sleep(3)
            # No room for WAL either: Postgres crashes, and restarts until there is.
            await asyncio.to_thread(fill)
            crashing = time.monotonic()
            stack.sql("postgres", "SELECT pg_switch_wal() FROM generate_series(1, 100)", check=False)
            await asyncio.sleep(5)
            freeing_again = time.monotonic()
            freed_again = await asyncio.to_thread(free)
            await asyncio.to_thread(wait_for_database, stack)
            back = time.monotonic()
            await asyncio.sleep(3)
        assert identity(stack) == before
        samples = load.samples
        written = [sample for sample in samples if sample.kind == "write"]
        record_property(
            "measured",
            f"{figures(samples, [recovery(written, freed)])}, Postgres back {back - freed_again:.1f} s after a crash",
        )
        assert {sample.status for sample in samples} == {200, 201, 503}
        assert all(sample.retry_after for sample in samples if sample.status == 503)
        full = between(besides_busy(samples), filled, freeing)
        assert reads(full) == {200}
        assert {sample.detail for sample in full if sample.status == 503} == {FULL}
        assert recovery(written, freed) < 2 + STALL
        away = [sample for sample in between(samples, crashing, freeing_again) if sample.status == 503]
        assert max(sample.took for sample in away) < 5 + STALL
        assert back - freed_again < BACK_WITHIN
        assert all(is_good(sample) for sample in besides_busy(samples) if sample.began > back + 1)
        # Every confirmed write is stored, and no refused one.
        assert stack.sql("postgres", MADE).stdout == f"{sum(sample.status == 201 for sample in samples)}\n"


def wait_for_database(stack: Stack) -> None:
    deadline = time.monotonic() + 2 * BACK_WITHIN
    while stack.get("/health/db").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
