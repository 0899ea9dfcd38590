"""What Alembic has not: where the schema is, waiting for it, and mending what was interrupted."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from alembic.config import Config
from alembic.script import ScriptDirectory
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.settings import Settings, load_settings
from migrator.connection import LOCK, LOOK, RUN, create_engine, wait_for_database
from migrator.errors import MIGRATION_FAILED, ConfigurationError, LocksNotObtained, MigratorError
from migrator.lock import find_holder, migration_lock
from migrator.log import configure_log, fail
from migrator.online import give_time
from migrator.run import LOCK_TIMEOUT
from migrator.status import Status, find_pending, read_status

POLL_SECONDS = 1.0
CONFIG = Path(__file__).parent.parent / "pyproject.toml"
# What an interrupted REINDEX CONCURRENTLY leaves: copies of an index that is still there.
COPIES = ("_ccnew", "_ccold")

T = TypeVar("T")
Connect = Callable[[str], AsyncEngine]
"""Makes an engine whose sessions have the name given."""

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show where a failure came from.")] = False) -> None:
    """What Alembic has not: where the schema is, waiting for it, and mending what was interrupted."""
    configure_log(os.environ.get("LOG_FORMAT", ""))
    if debug:
        os.environ["MIGRATOR_DEBUG"] = "1"


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False) -> None:
    """Show where the schema is: revisions, who migrates, invalid indexes, constraints not validated, drift.

    Example: python -m migrator status --json
    """
    found = _run(_read_status)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _show(found)


@app.command()
def wait(timeout: Annotated[float, typer.Option(min=0, help="Seconds; after that the exit code is 5.")] = 600) -> None:
    """Wait until the schema is at this release's newest revision: for platforms that start things in no order.

    Example: python -m migrator wait --timeout 120
    """
    _run(lambda connect, _: _wait(connect, timeout))
    typer.echo("the schema is at the newest revision")


@app.command()
def repair(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Build invalid indexes anew, and drop what an interrupted REINDEX has left. Reads and writes go on meanwhile.

    Example: python -m migrator repair --yes
    """
    found = _run(_read_status)
    statements = [_mend(index) for index in found.invalid_indexes]
    if not statements:
        typer.echo("nothing to repair: no index is invalid")
        return
    typer.echo("\n".join(statements))
    if not yes:
        typer.confirm("Run this?", abort=True)
    _run(lambda connect, settings: _execute(connect, settings, statements))
    typer.echo(f"{len(statements)} repaired")


def _mend(index: str) -> str:
    is_copy = index.rstrip('"').rstrip("0123456789").endswith(COPIES)
    return f"{'DROP' if is_copy else 'REINDEX'} INDEX CONCURRENTLY {index}"


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(Config(toml_file=CONFIG))


async def _read_status(connect: Connect, settings: Settings) -> Status:
    await wait_for_database(connect(LOOK), settings.migrator_wait_seconds)
    async with connect(LOOK).connect() as connection:
        holder = await find_holder(connection)
        return await connection.run_sync(read_status, _scripts(), holder)


async def _wait(connect: Connect, timeout: float) -> None:
    now, scripts = asyncio.get_running_loop().time, _scripts()
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


async def _execute(connect: Connect, settings: Settings, statements: list[str]) -> None:
    async with migration_lock(connect(LOCK), settings.migrator_lock_timeout), connect(RUN).connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.run_sync(give_time, settings.migrator_retry_seconds)
        for statement in statements:
            await connection.execute(text(statement))


def _run(work: Callable[[Connect, Settings], Awaitable[T]]) -> T:
    """Run `work`; where it fails, end with one line and the exit code that belongs to it."""

    async def run() -> T:
        try:
            settings = load_settings()
            url = settings.migration_database()
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return await work(lambda name: create_engine(url, name, lock_timeout=LOCK_TIMEOUT), settings)

    try:
        return asyncio.run(run())
    except MigratorError as error:
        fail(str(error), error.exit_code)
    except SQLAlchemyError as error:
        fail(str(getattr(error, "orig", None) or error), MIGRATION_FAILED)


def _show(found: Status) -> None:
    console = Console()
    facts = Table.grid(padding=(0, 2))
    for name, values in (
        ("current", found.current),
        ("head", found.head),
        ("pending", found.pending),
        ("migrating now", [found.lock_holder] if found.lock_holder else []),
        ("invalid indexes", found.invalid_indexes),
        ("constraints not validated", found.constraints_not_validated),
        ("drift", found.drift),
    ):
        facts.add_row(name, "\n".join(values) or "none", style="bold red" if values and name in WRONG else None)
    console.print(facts)
    if found.history:
        moves = Table(box=None, pad_edge=False)
        for heading in ("revision", "direction", "at", "seconds", "waited", "tries", "by", "release"):
            moves.add_column(heading, overflow="fold", no_wrap=heading in {"revision", "direction"})
        for move in found.history:
            took, waited = (None if s is None else f"{s:.3f}" for s in (move.seconds, move.waited_seconds))
            cells = (move.revision, move.direction, move.applied_at[:19], took, waited, move.attempts)
            moves.add_row(*(str(cell or "") for cell in (*cells, move.applied_by, move.release)))
        console.print(moves)


WRONG = {"pending", "invalid indexes", "constraints not validated", "drift"}


if __name__ == "__main__":
    app()
