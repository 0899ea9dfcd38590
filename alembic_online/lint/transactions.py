"""What is committed together: statements that can't be in a transaction, and locks that a transaction holds long."""

from collections.abc import Iterator
from itertools import groupby

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node, walk

from alembic_online.lint.calls import execute, execute_outside
from alembic_online.lint.finding import Problem
from alembic_online.lint.reading import ParsedStatement
from alembic_online.lint.safe_ways import known_way
from alembic_online.sql import Lock, Work
from alembic_online.sql.expressions import functions
from alembic_online.sql.names import qualified, strings
from alembic_online.sql.transactions import is_refused_in_transaction

CHANGES = {Work.ONE_ROW, Work.ROWS, Work.ALL_ROWS}
# Functions that wait for a time, or for a lock that is on no table.
WAITS = {
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
}
LONG = {Work.SCAN, Work.ROWS, Work.ALL_ROWS, Work.BUILD, Work.REWRITE}
TIMEOUTS = {"lock_timeout", "statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"}


def find_transactions(parsed: ParsedStatement) -> Iterator[Problem]:
    """What is wrong with one statement and its transaction."""
    if parsed.count > 1:
        yield Problem(
            "several-statements",
            parsed.line,
            f"{parsed.count} statements in one string: asyncpg refuses them",
            f"Write {', '.join(execute(each.strip()) for each in postgast.split(parsed.statement.sql))}",
        )
    for node in parsed.nodes:
        if isinstance(node, pg.TransactionStmt):
            yield Problem(
                "transaction",
                parsed.line,
                "ends or begins the transaction in which the revision and its row in migration_history are committed",
                "Leave it out: each revision is a transaction already, and op.get_context().autocommit_block() is "
                "outside of it",
            )
        elif parsed.statement.in_transaction and is_refused_in_transaction(node):
            yield Problem(
                "needs-autocommit", parsed.line, "fails: Postgres refuses it in a transaction", _outside(parsed, node)
            )
        elif setting := _setting(node):
            yield Problem(
                "settings",
                parsed.line,
                f"{setting}: the migrator relies on its time-outs, and what is not LOCAL stays for later revisions",
                "Leave it out: the migrator sets the time-outs; others with SET LOCAL",
            )


def find_in_blocks(revision: list[ParsedStatement]) -> Iterator[Problem]:
    """What is wrong with a revision's statements together."""
    yield from _not_alone(revision)
    for _, block in groupby((p for p in revision if p.statement.in_transaction), key=lambda p: p.statement.block):
        statements = list(block)
        yield from _held_locks(statements)
        yield from _waits(statements)
        yield from _enum_values(statements)


def _outside(parsed: ParsedStatement, node: Message) -> str:
    has_way = isinstance(node, pg.IndexStmt | pg.DropStmt | pg.ReindexStmt | pg.AlterTableStmt)
    if has_way and (way := known_way(parsed)):
        return way
    return f"Write {execute_outside(parsed.statement.sql)}, alone in its revision"


def _setting(node: Message) -> str | None:
    if isinstance(node, pg.VariableSetStmt):
        if node.name in TIMEOUTS or not (node.is_local or node.name.startswith("TRANSACTION")):
            return f"changes {node.name or 'all settings'}"
        return None
    for _, found in walk(node):
        if isinstance(found, pg.FuncCall) and strings(found.funcname)[-1] == "set_config":
            arguments = [unwrap_node(argument) for argument in found.args]
            first = arguments[0] if arguments else None
            name = first.sval.sval if isinstance(first, pg.A_Const) else "a setting"
            if name in TIMEOUTS or "boolval: true" not in str(arguments[-1:]):
                return f"changes {name}"
    return None


def _not_alone(revision: list[ParsedStatement]) -> Iterator[Problem]:
    """What commits by itself, but is not alone. The statements of an online operation count as one."""
    units = [
        list(found)
        for _, found in groupby(
            enumerate(revision),
            key=lambda each: (each[1].is_online, each[1].statement.block if each[1].is_online else each[0]),
        )
    ]
    firsts = [unit[0][1] for unit in units]
    by_itself = [first for first in firsts if not first.statement.in_transaction]
    if by_itself and len(firsts) > 1:
        others = ", ".join(dict.fromkeys(str(first.line) for first in firsts if first is not by_itself[0]))
        yield Problem(
            "not-alone",
            by_itself[0].line,
            f"commits by itself, with all that comes before it; the revision has more (line {others}), and after a "
            "failure in between the next run fails on what exists already",
            "Write a revision of its own for each",
        )


def _held_locks(statements: list[ParsedStatement]) -> Iterator[Problem]:
    """Work on many rows, under a lock that an earlier statement has taken and that is held until the commit."""
    held: dict[str, tuple[Lock, int]] = {}
    for parsed in statements:
        long = [e for e in parsed.effects if e.work in LONG and not (e.lock.blocks_writes or _is_reported(parsed))]
        if held and long:
            table, (lock, line) = max(held.items(), key=lambda item: item[1][0])
            waiting = "reads and writes" if lock.blocks_reads else "writes"
            yield Problem(
                "held-lock",
                parsed.line,
                f"works on the rows of {long[0].table} while {lock} on {table}, taken in line {line}, is held: "
                f"{waiting} of {table} wait for all of it",
                "Put it into a revision of its own, after that one",
            )
        for effect in parsed.effects:
            if effect.lock.blocks_writes and effect.is_named and effect.work is Work.NONE:
                held.setdefault(effect.table, (effect.lock, parsed.line))


def _waits(statements: list[ParsedStatement]) -> Iterator[Problem]:
    """Waiting for nothing that Postgres knows of, while others wait for what the transaction has locked."""
    held: tuple[str, int] | None = None
    for parsed in statements:
        for effect in parsed.effects if held is None else ():
            if effect.work is not Work.UNKNOWN and (effect.lock.blocks_writes or effect.work in CHANGES):
                what = effect.lock if effect.lock.blocks_writes else "rows"
                held = f"{what} of {effect.table.strip('()')}", parsed.line
        called = sorted({name for node in parsed.nodes for name in functions(node)} & WAITS)
        if held and called:
            yield Problem(
                "wait-under-lock",
                parsed.line,
                f"waits in {called[0]}() while what line {held[1]} has locked, {held[0]}, stays locked: others wait",
                "Leave it out; or wait in a revision before this one",
            )


def _is_reported(parsed: ParsedStatement) -> bool:
    """Whether the statement has a finding for what it does to rows, with or without a held lock."""
    return any(effect.work in {Work.ROWS, Work.ALL_ROWS} for effect in parsed.effects)


def _enum_values(statements: list[ParsedStatement]) -> Iterator[Problem]:
    added: dict[str, int] = {}
    for parsed in statements:
        for node in parsed.nodes:
            used = {found.sval.sval for _, found in walk(node) if isinstance(found, pg.A_Const)} & added.keys()
            if used and not isinstance(node, pg.AlterEnumStmt):
                value = min(used)
                yield Problem(
                    "enum-value-used",
                    parsed.line,
                    f"fails: '{value}', added in line {added[value]}, can't be used before it is committed",
                    "Use it in the next revision",
                )
            is_added = isinstance(node, pg.AlterEnumStmt) and not node.old_val
            if is_added and qualified(*strings(node.type_name)) not in parsed.made:
                added[node.new_val] = parsed.line
