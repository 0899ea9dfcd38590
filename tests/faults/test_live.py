"""A schema that changes while the api serves, without an effect on requests."""

import asyncio
import time
from pathlib import Path

import asyncpg
import httpx

from local.postgres import Server
from tests.conftest import superuser
from tests.faults.checkout import checkout_with, start
from tests.processes.test_history import history, newest
from tests.rounds import STALL, rounds

IDLE_SECONDS = rounds(quick=6, full=30)
TRIES = 3
CLIENTS = 8


async def test_a_session_that_stays_idle_in_its_transaction_delays_the_upgrade_and_nobody_else(
    server: Server, database: str, committing_client: httpx.AsyncClient, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    checkout = checkout_with(tmp_path, column="op.execute('ALTER TABLE animals ADD COLUMN wild boolean')")
    waits: list[float] = []
    over = asyncio.Event()

    async def use() -> None:
        while not over.is_set():
            for request in (
                committing_client.post("/animals", json={"name": "Amara"}),
                committing_client.get("/animals?limit=10"),
            ):
                began = time.monotonic()
                answer = await request
                waits.append(time.monotonic() - began)
                assert answer.is_success, answer.text
            await asyncio.sleep(0.02)

    idle = await superuser(server, database)
    transaction = idle.transaction()
    await transaction.start()
    await idle.execute("SELECT FROM animals")
    clients = [asyncio.create_task(use()) for _ in range(CLIENTS)]
    run = start(server.environment(database), cwd=checkout)
    began, log = time.monotonic(), b""
    assert run.stderr is not None
    while log.count(b"a try did not get its locks") < TRIES:
        line = await asyncio.to_thread(run.stderr.readline)
        assert line, log
        log += line
    await asyncio.sleep(IDLE_SECONDS - (time.monotonic() - began))
    assert run.poll() is None
    await transaction.rollback()
    log += (await asyncio.to_thread(run.communicate))[1]
    over.set()
    await asyncio.gather(*clients)
    await idle.close()
    assert run.returncode == 0, log
    assert b"idle in transaction" in log
    assert (await history(server, database))[-1] == ("column", "upgrade")
    assert (await newest(server, database))["attempts"] > TRIES
    assert len(waits) > 100
    assert max(waits) < STALL
    assert await admin.fetchval("SELECT count(*) FROM animals") == len(waits) // 2
