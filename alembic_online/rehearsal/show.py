"""Prints a rehearsal's findings on a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alembic_online.rehearsal.report import LegReport, Rehearsal, StatementReport, TableReport
from alembic_online.rehearsal.trace import Leg
from alembic_online.sql import Work

DIFF_LINES = 40
WIDEST_NAME = 24


def show(found: Rehearsal) -> None:
    """Print it."""
    console = Console(highlight=False)
    console.print(_title(found))
    for statement in found.left_out:
        console.print(f"[yellow]not copied:[/] {escape(statement)}")
    names = [len(table.table) for statement in found.statements for table in statement.tables]
    width = min(max(names, default=0), WIDEST_NAME)
    for revision, subject in found.revisions.items():
        console.print(f"\n[bold]{revision}[/] {escape(subject or '')}".rstrip())
        if reason := found.plan_unknown.get(revision):
            console.print(f"[yellow]what it does could not be planned:[/] {escape(reason)}")
        statements = [one for one in found.statements if one.revision == revision]
        if up := [one for one in statements if one.leg is Leg.UP]:
            console.print(_statements(up, width))
        if down := [one for one in statements if one.leg is Leg.DOWN]:
            console.print("taken back by", style="dim")
            console.print(_statements(down, width))
        if not statements:
            console.print("no statement ran", style="dim")
    console.print()
    for line in _verdicts(found):
        console.print(line, soft_wrap=True)


def _title(found: Rehearsal) -> str:
    count = len(found.revisions)
    rows = f"rows: {sum(found.rows.values())}" if found.sample else "without rows (--sample N copies some)"
    return f"{count} revision{'s' * (count > 1)} rehearsed on a copy of the schema of {found.database}, {rows}"


def _statements(statements: list[StatementReport], width: int) -> Table:
    shown = Table(box=None, show_header=False, pad_edge=False, expand=True)
    shown.add_column("line", justify="right", no_wrap=True, width=5)
    shown.add_column("statement", no_wrap=True, overflow="ellipsis", ratio=1)
    shown.add_column("took", justify="right", no_wrap=True, width=11)
    for statement in statements:
        sql = " ".join(statement.sql.split())
        if statement.runs > 1:
            sql = f"{statement.operation}: {statement.runs} statements"
        shown.add_row(str(statement.line), escape(sql), f"{statement.seconds * 1000:.1f} ms")
        for table in statement.tables:
            shown.add_row("", f"  {escape(table.table.ljust(width))}  {_seen(statement, table)}", "")
    return shown


def _seen(statement: StatementReport, table: TableReport) -> str:
    seen = table.lock or (f"{table.held}, held already" if table.held else "no lock")
    if statement.not_measured:
        seen = f"{table.lock}, or more" if table.lock else "not measured"
    if table.is_rewritten or table.is_scanned:
        seen += ", rewritten" if table.is_rewritten else ", scanned"
    planned = f"planned: {table.planned_lock or 'none'}"
    if table.surprise:
        return f"[bold red]{seen}[/] ({planned})"
    is_less = table.planned_work == Work.REWRITE and not table.is_rewritten and not statement.not_measured
    if is_less or (table.planned_lock and table.planned_lock != (table.lock or table.held)):
        return f"{seen} [dim]({planned}{', rewritten' if is_less else ''})[/]"
    return seen


def _verdicts(found: Rehearsal) -> list[str]:
    lines = [_leg(leg) for leg in found.legs]
    by_leg = {leg.leg: leg for leg in found.legs}
    if found.not_taken_back:
        lines.append(_bad(f"can't be taken back: the downgrade does nothing: {', '.join(found.not_taken_back)}"))
    elif Leg.UP_AGAIN in by_leg and not found.differences:
        lines.append(_good("the schema was the same after down as before, and after up again as after up"))
    for what, diff in found.differences.items():
        lines.append(_bad(what))
        diff_lines = diff.splitlines()
        lines += [escape(line) for line in diff_lines[:DIFF_LINES]]
        if len(diff_lines) > DIFF_LINES:
            lines.append(f"... and {len(diff_lines) - DIFF_LINES} more lines (--json has them all)")
    if found.drift:
        lines.append(_bad(f"the schema is not as the models say: {'; '.join(found.drift)}"))
    elif by_leg and not by_leg[Leg.UP].error:
        lines.append(_good("the schema is what the models say"))
    not_measured = (
        f"not measured: {one.revision} line {one.line}: {one.not_measured}"
        for one in found.statements
        if one.not_measured
    )
    lines += [f"[yellow]-[/] {escape(line)}" for line in dict.fromkeys(not_measured)]
    if found.surprises:
        lines.append(_bad("not as planned:"))
        lines += [f"  {escape(surprise)}" for surprise in found.surprises]
    elif by_leg and not by_leg[Leg.UP].error:
        lines.append(_good("nothing was locked or rewritten that was not planned"))
    return lines


def _leg(leg: LegReport) -> str:
    took = f"{leg.leg}: {leg.seconds:.2f} s"
    if leg.error is None:
        return _good(took)
    place = f" ({leg.place})" if leg.place else ""
    if leg.is_on_purpose:
        return f"[yellow]-[/] {took}, can't be taken back, as the revision itself says{place}: {escape(leg.error)}"
    return _bad(f"{took}, failed{place}: {leg.error}")


def _good(text: str) -> str:
    return f"[green]ok[/] {escape(text)}"


def _bad(text: str) -> str:
    return f"[bold red]no[/] {escape(text)}"
