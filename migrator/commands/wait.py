"""`python -m migrator wait`: until the schema is there."""

import asyncio
from typing import Annotated

import typer

from migrator.commands import Connect, load_scripts, run
from migrator.connection import LOOK, wait_for_database
from migrator.errors import LocksNotObtained
from migrator.status import find_pending

POLL_SECONDS = 1.0


def wait(timeout: Annotated[float, typer.Option(min=0, help="Seconds; after that the exit code is 5.")] = 600) -> None:
    """Wait until the schema is at this release's newest revision: for platforms that start things in no order.

    Example: python -m migrator wait --timeout 120
    """
    run(lambda connect, _: _wait(connect, timeout))
    typer.echo("the schema is at the newest revision")


async def _wait(connect: Connect, timeout: float) -> None:
    now, scripts = asyncio.get_running_loop().time, load_scripts()
    deadline = now() + timeout
    while True:
        await wait_for_database(connect(LOOK), max(0, deadline - now()))
        async with connect(LOOK).connect() as connection:
            pending = await connection.run_sync(find_pending, scripts)
        if not pending:
            return
        if now() + POLL_SECONDS > deadline:
            raise LocksNotObtained(
                f"not applied after {timeout:g} s: {', '.join(pending)}; run the migrator (alembic upgrade head)"
            )
        await asyncio.sleep(POLL_SECONDS)
