"""`python -m alembic_online backfill`: show how far backfills are, pause and resume them."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from alembic_online.backfill.reports import Report, read_reports, set_paused
from alembic_online.commands import Setup, run
from alembic_online.errors import ConfigurationError
from alembic_online.runs.connection import LOOK

app = typer.Typer(help="Show how far backfills are, pause and resume them.", no_args_is_help=True)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="As a JSON array.")] = False) -> None:
    """Show each backfill: rows, rows/s, time left, and whether it is running, paused, interrupted or finished.

    Example: python -m alembic_online backfill status --json
    """
    found = run(_look)
    if as_json:
        typer.echo(json.dumps([asdict(report) for report in found], indent=2))
    elif found:
        _show(found)
    else:
        typer.echo("no backfill has begun yet")


@app.command()
def pause() -> None:
    """Pause the backfill under way after its batch; until it is resumed, it waits and holds the migration lock.

    Example: python -m alembic_online backfill pause
    """
    for table in run(lambda setup: _set_paused(setup, paused=True)):
        typer.echo(f"{table}: pauses after the batch under way; python -m alembic_online backfill resume resumes it")


@app.command()
def resume() -> None:
    """Resume what was paused.

    Example: python -m alembic_online backfill resume
    """
    for table in run(lambda setup: _set_paused(setup, paused=False)):
        typer.echo(f"{table}: resumed")


async def _look(setup: Setup) -> list[Report]:
    async with setup.looking() as connection:
        return await connection.run_sync(read_reports)


async def _set_paused(setup: Setup, *, paused: bool) -> list[str]:
    await setup.wait()
    async with setup.connect(LOOK).begin() as connection:
        tables = await connection.run_sync(set_paused, paused)
    if not tables:
        raise ConfigurationError(
            "no backfill is under way: there is nothing to pause" if paused else "no backfill is paused"
        )
    return tables


def _show(found: list[Report]) -> None:
    shown = Table(box=None, pad_edge=False)
    for heading in ("revision", "table", "state", "rows", "changed", "%", "rows/s", "left", "because of"):
        shown.add_column(heading, overflow="fold", no_wrap=heading in {"revision", "table", "state"})
    for report in found:
        rate = "" if report.rows_per_second is None else f"{report.rows_per_second:.0f}"
        shown.add_row(
            *(report.revision, report.table, report.state, str(report.rows), str(report.changed)),
            *(f"{report.percent:g}", rate, _duration(report.seconds_left), report.waiting_for or ""),
        )
    Console().print(shown)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
