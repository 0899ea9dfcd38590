"""Rows that are changed, deleted or copied all at once; and statements that don't show what they do."""

from collections.abc import Iterator

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node, walk

from alembic_online.lint.backfill_calls import backfill, fill_table
from alembic_online.lint.finding import Problem
from alembic_online.lint.locks import tables
from alembic_online.lint.online_calls import drop_constraint
from alembic_online.lint.reading import ParsedStatement
from alembic_online.sql import Lock, Work
from alembic_online.sql.names import table_name
from alembic_online.sql.rows import CHANGES

# These have a rule of their own, or change what nobody else writes.
NOT_ROWS = pg.TruncateStmt | pg.RefreshMatViewStmt
DELETE = (
    "Delete in small batches, each committed by itself, outside of the migration; a few rows by their key, as in "
    "WHERE id IN (1, 2); or write a waiver that says why they are few"
)


def find_rows(parsed: ParsedStatement) -> Iterator[Problem]:
    """What is wrong with what one statement does to rows."""
    yield from _opaque(parsed)
    if any(isinstance(node, NOT_ROWS) for node in parsed.nodes):
        return
    changed = [effect for effect in parsed.effects if effect.work in {Work.ROWS, Work.ALL_ROWS}]
    if changed:
        yield Problem(
            "unbatched-change",
            parsed.line,
            f"{changed[0].why} of {tables(changed)} in one go, each locked until the revision is committed",
            _instead(parsed, changed[0].table),
        )
    elif copied := _copied(parsed):
        yield Problem(
            "unbatched-change",
            parsed.line,
            f"copies {copied[1]} into {copied[0]} in one go, and misses what is written meanwhile",
            f"Copy in batches by the key, each committed by itself; columns of one table with {fill_table(copied[0])}",
        )


def _instead(parsed: ParsedStatement, table: str) -> str:
    """The same change, in batches; or that it is to be left out."""
    changes = [
        found
        for node in parsed.nodes
        for _, found in walk(node)
        if isinstance(found, CHANGES) and table_name(found.relation) == table
    ]
    if not changes and any(isinstance(node, pg.SelectStmt) for node in parsed.nodes):
        return "Leave out the lock: each statement locks the rows that it changes"
    if any(map(_deletes, changes)):
        return DELETE
    updates = [node for node in parsed.nodes if isinstance(node, pg.UpdateStmt) and table_name(node.relation) == table]
    call = backfill(updates[0]) if updates else fill_table(table)
    return f"{call} changes rows in small batches, each committed by itself, alone in its revision"


def _merges_in(merge: pg.MergeStmt) -> bool:
    return any(clause.command_type == pg.CMD_INSERT for clause in map(unwrap_node, merge.merge_when_clauses))


def _deletes(change: Message) -> bool:
    if isinstance(change, pg.MergeStmt):
        return any(clause.command_type == pg.CMD_DELETE for clause in map(unwrap_node, change.merge_when_clauses))
    return isinstance(change, pg.DeleteStmt)


def _copied(parsed: ParsedStatement) -> tuple[str, str] | None:
    """The table that rows are copied to, and the one they come from, if both existed before."""
    for node in parsed.nodes:
        if not isinstance(node, pg.InsertStmt | pg.MergeStmt) or table_name(node.relation) in parsed.made:
            continue
        # VALUES are only the rows that are written down.
        if _merges_in(node) if isinstance(node, pg.MergeStmt) else not node.select_stmt.select_stmt.values_lists:
            read = [e for e in parsed.effects if e.work is Work.SCAN and e.lock is Lock.ACCESS_SHARE]
            if read:
                return table_name(node.relation), tables(read)
    return None


def _opaque(parsed: ParsedStatement) -> Iterator[Problem]:
    if any(isinstance(node, pg.CreateExtensionStmt) for node in parsed.nodes):  # it creates things of its own
        return
    for node, command in parsed.commands():
        if command.behavior == pg.DROP_CASCADE and node.objtype != pg.OBJECT_TYPE:  # whose effect says more
            is_constraint = command.subtype == pg.AT_DropConstraint
            kind, of = ("constraint", table_name(node.relation)) if is_constraint else ("column", "")
            name = f"{command.name} of {of}" if is_constraint else f"{table_name(node.relation)}.{command.name}"
            yield Problem(
                "opaque",
                parsed.line,
                f"CASCADE drops what the statement does not name: whatever depends on the {kind} {name}",
                "Drop that first, by its name"
                + (f"; then {drop_constraint(node.relation, command.name)}" if is_constraint else ""),
            )
    for effect in parsed.effects:
        if effect.work is Work.UNKNOWN:
            yield Problem(
                "opaque",
                parsed.line,
                f"{effect.why}: {effect.table.strip('()')} may be locked, for as long as it takes",
                "Write the statements themselves; or check what it does, and say so in a waiver",
            )
            return
