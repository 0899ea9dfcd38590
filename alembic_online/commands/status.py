"""`python -m alembic_online status`: where the schema is."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from alembic_online.commands import Setup, run
from alembic_online.runs.lock import find_holder
from alembic_online.runs.status import Move, Status, read_status

WRONG = {"pending", "invalid indexes", "constraints not validated", "drift", "not compared"}
HISTORY = ("revision", "direction", "at", "seconds", "waited", "tries", "release", "by")
LEFT_OUT_FIRST = ("by", "tries", "waited")  # where the terminal is too narrow; --json has all


def status(as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False) -> None:
    """Show where the schema is: revisions, releases at work, who migrates, what is invalid or not validated, drift.

    Example: python -m alembic_online status --json
    """
    found = run(look)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _show(found)


async def look(setup: Setup) -> Status:
    """The status of the database, once it answers."""
    async with setup.looking() as connection:
        holder = await find_holder(connection)
        return await connection.run_sync(read_status, setup.project, holder)


def _show(found: Status) -> None:
    console = Console()
    facts = Table.grid(padding=(0, 2))
    for name, values in (
        ("current", found.current),
        ("head", found.head),
        ("pending", [_with_phase(revision, found.contract.get(revision)) for revision in found.pending]),
        ("floor", [f"release {found.floor}: older ones can't work with the schema"] if found.floor else []),
        ("releases at work", _at_work(found)),
        ("migrating now", [found.lock_holder] if found.lock_holder else []),
        ("invalid indexes", found.invalid_indexes),
        ("constraints not validated", found.constraints_not_validated),
        ("drift", ["not looked at: revisions are pending, or unknown"] if found.drift is None else found.drift),
        *([("not compared", found.drift_not_compared)] if found.drift_not_compared else []),
    ):
        facts.add_row(name, "\n".join(values) or "none", style="bold red" if values and name in WRONG else None)
    console.print(facts)
    if found.history:
        for count in range(len(LEFT_OUT_FIRST) + 1):
            moves = _history(found.history, LEFT_OUT_FIRST[:count])
            if console.measure(moves, options=console.options.update(width=1_000)).maximum <= console.width:
                break
        console.print(moves)


def _history(moves: Sequence[Move], left_out: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    shown = [heading for heading in HISTORY if heading not in left_out]
    for heading in shown:
        table.add_column(heading, overflow="fold")
    for move in moves:
        cells = {
            "revision": move.revision,
            "direction": move.direction,
            "at": move.applied_at[:16].replace("T", " "),
            "seconds": _rounded(move.seconds),
            "waited": _rounded(move.waited_seconds),
            "tries": str(move.attempts or ""),
            "release": move.release,
            "by": move.applied_by,
        }
        table.add_row(*(cells[heading] for heading in shown))
    return table


def _rounded(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3f}"


def _with_phase(revision: str, safe_from_release: str | None) -> str:
    return f"{revision} (contract, safe from release {safe_from_release})" if safe_from_release else revision


def _at_work(found: Status) -> list[str]:
    return [
        f"{release}: {_number(found.releases.get(release, 0), 'session')}, "
        f"{_number(found.workers.get(release, 0), 'worker')}"
        for release in sorted(found.releases.keys() | found.workers.keys())
    ]


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
