"""`python -m alembic_online wait`: wait until the schema is at the newest revision, and the release rolled out."""

import asyncio
from typing import Annotated

import typer

from alembic_online.commands import Setup, run
from alembic_online.errors import LocksNotObtained, MigratorError, ReleaseInTheWay
from alembic_online.runs.connection import LOOK, wait_for_database
from alembic_online.runs.phases import waited_for
from alembic_online.runs.rollout import find_others
from alembic_online.runs.status import find_pending

POLL_SECONDS = 1.0


def wait(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds; after that the exit code is 5, or 7.")] = 600,
    rolled_out: Annotated[bool, typer.Option("--rolled-out", help="Until no other release is at work, too.")] = False,
) -> None:
    """Wait until the schema is at this release's newest revision: for platforms that start things in any order.

    With MIGRATOR_PHASE=expand it does not wait for contract revisions; with contract, only for those that can go first.

    With --rolled-out, it also waits until this release of the app is at work, and no other: then contract revisions can
    be applied. If that does not happen in time, the exit code is 7.

    Example: python -m alembic_online wait --timeout 120
    """
    left = run(lambda setup: _wait(setup, timeout, rolled_out=rolled_out))
    typer.echo("the schema is at the newest revision" + (f", except for {', '.join(left)}" if left else ""))


async def _wait(setup: Setup, timeout: float, *, rolled_out: bool) -> list[str]:
    """The revisions that are still pending, because it does not wait for them."""
    now, scripts = asyncio.get_running_loop().time, setup.project.scripts
    deadline = now() + timeout
    while True:
        await wait_for_database(setup.connect(LOOK), max(0, deadline - now()))
        async with setup.connect(LOOK).connect() as connection:
            pending = await connection.run_sync(find_pending, scripts)
            others = await connection.run_sync(find_others, setup.project) if rolled_out else None
        revisions = [scripts.get_revision(name) for name in pending]
        needed = [revision.revision for revision in waited_for(revisions, setup.settings.migrator_phase)]
        if not needed and not others:
            return pending
        if now() + POLL_SECONDS > deadline:
            raise _missing(needed, others, timeout)
        await asyncio.sleep(POLL_SECONDS)


def _missing(needed: list[str], others: str | None, timeout: float) -> MigratorError:
    if needed:
        return LocksNotObtained(
            f"not applied after {timeout:g} s: {', '.join(needed)}; run the migrator (alembic upgrade head)"
        )
    return ReleaseInTheWay(f"after {timeout:g} s, {others}")
