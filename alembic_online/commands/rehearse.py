"""`python -m alembic_online rehearse`: the pending revisions, up, down, and up again on a scratch database."""

import asyncio
import json
import signal
from typing import Annotated

import asyncpg
import typer

from alembic_online.commands import Setup, run
from alembic_online.errors import MIGRATION_FAILED
from alembic_online.log import fail
from alembic_online.rehearsal.rehearse import rehearse as carry_out
from alembic_online.rehearsal.report import Rehearsal
from alembic_online.rehearsal.show import show


def rehearse(
    sample: Annotated[int, typer.Option(min=0, help="Rows to copy of each table, with those they refer to.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """Run the pending revisions up, down, and up again on a scratch database; the real one is only read.

    Reports what each statement locks and rewrites, compared with the plan, and whether the schema is right after each
    leg. The exit code is 1 if anything is wrong.

    Example: python -m alembic_online rehearse --sample 1000
    """
    stopped_by: list[signal.Signals] = []
    try:
        found = run(lambda setup: _rehearse(setup, sample, stopped_by))
    except asyncio.CancelledError:
        fail(f"stopped by {stopped_by[0].name}: the scratch database is dropped", 128 + stopped_by[0])
    except asyncpg.PostgresError as error:
        fail(str(error), MIGRATION_FAILED)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    elif not found.revisions:
        typer.echo("nothing to rehearse: no revision is pending")
    else:
        show(found)
    raise typer.Exit(0 if found.is_fine else 1)


async def _rehearse(setup: Setup, sample: int, stopped_by: list[signal.Signals]) -> Rehearsal:
    _stop_once(stopped_by)
    await setup.wait()
    return await carry_out(setup.url, setup.project, sample)


def _stop_once(stopped_by: list[signal.Signals]) -> None:
    """End this task on SIGTERM or Ctrl-C; further signals are ignored, so that it has the time to clean up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def stop(number: signal.Signals) -> None:
        if not stopped_by:
            stopped_by.append(number)
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # a shell ignores SIGINT for background jobs
            loop.add_signal_handler(number, stop, number)
