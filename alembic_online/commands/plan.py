"""`python -m alembic_online plan`: what the pending revisions would do."""

import json
import textwrap
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from alembic_online.commands import Setup, run
from alembic_online.plan import Plan, PlannedRevision, PlannedStatement, Table, Verdict, make_plan
from alembic_online.plan.verdict import BACKFILL
from alembic_online.runs.rollout import require_rollout
from alembic_online.sql import Work

COLOURS = {
    Verdict.SAFE: "green",
    Verdict.CAREFUL: "yellow",
    Verdict.UNKNOWN: "magenta",
    Verdict.UNSAFE: "bold red",
    Verdict.FAILS: "bold red",
}
LINES = 12  # shown of a statement


def plan(as_json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False) -> None:
    """Show what the pending revisions would do to the database as it is now. Changes nothing.

    With MIGRATOR_PHASE=expand, it is refused like the run with which a rollout begins, and ends with the same code.

    For each statement: the locks that it takes on existing tables, what it does to their rows, who is in its way, and a
    verdict.

    safe: nobody waits longer than an instant.
    careful: somebody may wait, because a conflicting lock is held now or rows stay locked; or it takes long.
    unknown: its SQL does not show what it does.
    unsafe: reads or writes of a table with rows wait while it is scanned, rewritten, or changed as a whole.
    fails: the database as it is now refuses it: something needs what it drops, or the role may not do it.

    Example: python -m alembic_online plan --json
    """
    found = run(_look)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _show(found)


async def _look(setup: Setup) -> Plan:
    async with setup.looking() as connection:
        if setup.settings.migrator_phase == "expand":
            await connection.run_sync(require_rollout, setup.project)
        return await connection.run_sync(make_plan, setup.project)


def _show(found: Plan) -> None:
    console = Console(highlight=False)
    if found.is_ahead:
        console.print(f"nothing to do: the database is ahead of this release, at {', '.join(found.current)}")
        return
    if not found.revisions:
        console.print(f"nothing to do: no revision is pending, the schema is at {', '.join(found.current)}")
        return
    tables = {table.name: table for table in found.tables}
    for revision in found.revisions:
        console.print(_title(revision))
        console.print(_statements(revision, tables))
        console.print()
    count = len(found.revisions)
    console.print(f"{count} revision{'s are' if count > 1 else ' is'} pending:", _coloured(found.verdict))


def _title(revision: PlannedRevision) -> Text:
    title = Text.assemble((revision.revision, "bold"), f" {revision.subject}: ", _coloured(revision.verdict))
    if revision.safe_from_release:
        release = revision.safe_from_release
        title.append(f"\na contract revision, not begun while a release before {release} is connected")
    if revision.problem:
        title.append(f"\nwhat it does is not known before it runs: {revision.problem}")
    return title


def _statements(revision: PlannedRevision, tables: dict[str, Table]) -> Grid:
    shown = Grid(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for name in ("line", "verdict"):
        shown.add_column(name, no_wrap=True, justify="right" if name == "line" else "left")
    shown.add_column("what", overflow="fold", ratio=1)
    for statement in revision.statements:
        what = Text("\n").join([Text(_sql(statement)), *_details(statement, tables)])
        shown.add_row(str(statement.line), _coloured(statement.verdict), what)
    return shown


def _sql(statement: PlannedStatement) -> str:
    lines = textwrap.dedent(statement.sql).expandtabs(4).splitlines()
    if statement.operation == BACKFILL:  # the rest only goes from batch to batch
        lines = [line.strip() for line in lines if line.strip().startswith("UPDATE ")]
    left_out = [f"... and {len(lines) - LINES} more lines"] if len(lines) > LINES else []
    return "\n".join([*lines[:LINES], *left_out])


def _details(statement: PlannedStatement, tables: dict[str, Table]) -> Iterator[Text]:
    for effect in statement.effects:
        work = "" if effect.work is Work.NONE else f", {effect.work}"
        size = f" ({tables[effect.table]})" if effect.table in tables else ""
        yield Text(f"{effect.table}{size}: {effect.lock}{work}; {effect.why}", "dim")
    for holder in statement.holders:
        yield Text(f"{holder.lock} on {holder.table} is held by {holder.session}", "yellow")
    yield Text(statement.reason, COLOURS[statement.verdict])


def _coloured(verdict: Verdict) -> Text:
    return Text(verdict, COLOURS[verdict])
