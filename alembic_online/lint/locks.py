"""Locks on existing tables that are held while something takes long, or for no good reason."""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.lint.calls import alter_table, execute, relation_of, sql_of
from alembic_online.lint.columns_apart import required_way
from alembic_online.lint.finding import Problem
from alembic_online.lint.online_calls import add_constraint, sync_columns
from alembic_online.lint.reading import ParsedStatement
from alembic_online.lint.safe_ways import detach, safe_way
from alembic_online.sql import Effect, Lock, Work
from alembic_online.sql.names import quote, relations, table_name
from alembic_online.sql.subcommands import TRIGGERS

INCLUDING_ALL = 2**31 - 1  # CREATE_TABLE_LIKE_ALL, nodes/parsenodes.h

RULES = {
    Work.REWRITE: ("blocking-rewrite", "it is rewritten"),
    Work.BUILD: ("blocking-build", "an index is built"),
    Work.SCAN: ("blocking-scan", "every row is checked"),
}
TRIGGERS_AND_RULES = TRIGGERS | {
    pg.AT_EnableRule,
    pg.AT_EnableAlwaysRule,
    pg.AT_EnableReplicaRule,
    pg.AT_DisableRule,
}


def find_locks(parsed: ParsedStatement) -> Iterator[Problem]:
    """What is wrong with the locks that one statement takes."""
    yield from _long(parsed)
    yield from _required_column(parsed)
    yield from _create_table(parsed)
    yield from _partitions(parsed)
    yield from _triggers(parsed)
    for node in parsed.nodes:
        if isinstance(node, pg.LockStmt) and any(effect.lock.blocks_writes for effect in parsed.effects):
            yield Problem(
                "lock-table", parsed.line, held(parsed.effects), "Leave it out: each statement takes what it needs"
            )
        if isinstance(node, pg.TruncateStmt) and parsed.effects:
            yield Problem(
                "truncate",
                parsed.line,
                f"{held(parsed.effects)}, and all rows are gone, also for transactions that began before",
                "Delete in batches outside of the migration, or replace it by a new table and drop this one in a "
                "contract revision",
            )


def who_waits(lock: Lock) -> str:
    """Which statements wait for this lock."""
    return "reads and writes" if lock.blocks_reads else "writes"


def tables(effects: list[Effect]) -> str:
    """The tables, in words."""
    return " and ".join(dict.fromkeys(effect.table.strip("()") for effect in effects))


def held(effects: list[Effect]) -> str:
    """The locks of these effects, in words."""
    strongest = max(effect.lock for effect in effects)
    return f"takes {strongest} on {tables(effects)}, and {who_waits(strongest)} wait until the revision is committed"


def _long(parsed: ParsedStatement) -> Iterator[Problem]:
    for work, (rule, doing) in RULES.items():
        effects = [effect for effect in parsed.effects if effect.work is work and effect.lock.blocks_writes]
        if not effects or (work is Work.SCAN and (_takes_index(parsed) or any(_required(parsed)))):
            continue
        strongest = max(effect.lock for effect in effects)
        why = "" if effects[0].why == doing else f": {effects[0].why}"
        what = f"takes {strongest} on {tables(effects)}, and {who_waits(strongest)} wait while {doing}{why}"
        yield Problem(rule, parsed.line, what, safe_way(parsed))
        return


def _takes_index(parsed: ParsedStatement) -> bool:
    """Whether it is a primary key that uses an existing index; its columns are assumed to be NOT NULL."""
    added = [getattr(command, "def").constraint for _, command in parsed.commands()]
    return bool(added) and all(each.contype == pg.CONSTR_PRIMARY and each.indexname for each in added)


def _required(parsed: ParsedStatement) -> Iterator[tuple[pg.RangeVar, pg.ColumnDef]]:
    """The table and the column of columns that are added NOT NULL without a value."""
    for node, command in parsed.commands():
        if command.subtype == pg.AT_AddColumn:
            column = getattr(command, "def").column_def
            kinds = {constraint.contype for constraint in map(unwrap_node, column.constraints)}
            valued = kinds & {pg.CONSTR_DEFAULT, pg.CONSTR_IDENTITY, pg.CONSTR_GENERATED}
            if pg.CONSTR_NOTNULL in kinds and not valued and "serial" not in str(column.type_name):
                yield node.relation, column


def _required_column(parsed: ParsedStatement) -> Iterator[Problem]:
    for table, column in _required(parsed):
        yield Problem(
            "required-column",
            parsed.line,
            f"fails if {table_name(table)} has rows; and the release at work, which does not know {column.colname}, "
            "can no longer INSERT",
            required_way(table, column),
        )


def _create_table(parsed: ParsedStatement) -> Iterator[Problem]:
    made = next((node for node in parsed.nodes if isinstance(node, pg.CreateStmt)), None)
    if made is None:
        return
    old = {table_name(each.pktable) for _, each in _keys(made)}
    referred = [effect for effect in parsed.effects if effect.table in old and effect.lock.blocks_writes]
    if referred:
        yield Problem(
            "foreign-key-in-create-table",
            parsed.line,
            held(referred),
            f"Create the table without the foreign key, and add it with {_foreign_keys(made, referred)} in the next "
            "revision, which takes the lock for an instant",
        )
    parents = relations(made.inh_relations) if made.HasField("partbound") else []
    whole = [effect for effect in parsed.effects if effect.table in parents and effect.lock.blocks_reads]
    if whole:
        yield Problem(
            "partition-of",
            parsed.line,
            held(whole),
            "Create the table by itself, and attach it in the same revision, which blocks neither reads nor writes: "
            f"{_attached(made)}",
        )


def _foreign_keys(made: pg.CreateStmt, referred: list[Effect]) -> str:
    """The foreign keys to tables that existed before, as the next revision adds them."""
    old = {effect.table for effect in referred}
    return " and ".join(
        add_constraint(made.relation, each, column) for column, each in _keys(made) if table_name(each.pktable) in old
    )


def _keys(made: pg.CreateStmt) -> list[tuple[str, pg.Constraint]]:
    """The foreign keys of the table, each with the column that it is written at."""
    found = [("", node) for node in map(unwrap_node, made.table_elts)]
    for _, column in list(found):
        if isinstance(column, pg.ColumnDef):
            found += [(column.colname, each) for each in map(unwrap_node, column.constraints)]
    return [
        (column, each)
        for column, each in found
        if isinstance(each, pg.Constraint) and each.contype == pg.CONSTR_FOREIGN
    ]


def _attached(made: pg.CreateStmt) -> str:
    """Create the partition like its parent table, with what it has alone, then attach it."""
    (parent,) = (node for node in map(unwrap_node, made.inh_relations) if isinstance(node, pg.RangeVar))
    partition = pg.PartitionCmd(name=made.relation, bound=made.partbound)
    attach = alter_table(parent, pg.AT_AttachPartition, **{"def": pg.Node(partition_cmd=partition)})
    own = pg.CreateStmt()
    own.CopyFrom(made)
    for part in ("inh_relations", "partbound", "table_elts"):
        own.ClearField(part)
    like = pg.TableLikeClause(relation=parent, options=INCLUDING_ALL)
    elements = [(node, unwrap_node(node)) for node in made.table_elts]
    own.table_elts.append(pg.Node(table_like_clause=like))
    own.table_elts.extend(
        node for node, found in elements if isinstance(found, pg.Constraint) and found.contype != pg.CONSTR_FOREIGN
    )
    columns = [quote(found.colname) for _, found in elements if isinstance(found, pg.ColumnDef)]
    before = f", with what is said of its {' and '.join(columns)}" if columns else ""
    return f"{execute(sql_of(own))}{before}; {execute(attach)}"


def _partitions(parsed: ParsedStatement) -> Iterator[Problem]:
    for node, command in parsed.commands():
        if command.subtype == pg.AT_DetachPartition and not getattr(command, "def").partition_cmd.concurrent:
            yield Problem(
                "detach",
                parsed.line,
                f"takes {Lock.ACCESS_EXCLUSIVE} on {table_name(node.relation)}, and reads and writes wait until the "
                "revision is committed",
                detach(node.relation, getattr(command, "def").partition_cmd),
            )


def _triggers(parsed: ParsedStatement) -> Iterator[Problem]:
    made = any(isinstance(node, pg.CreateTrigStmt | pg.RuleStmt) for node in parsed.nodes)
    switched = any(command.subtype in TRIGGERS_AND_RULES for _, command in parsed.commands())
    effects = [effect for effect in parsed.effects if effect.lock.blocks_writes]
    if (made or switched) and effects:
        yield Problem(
            "trigger",
            parsed.line,
            f"{held(effects)}; from then on it affects the release at work, too",
            f"To keep two columns equal, use {sync_columns(relation_of(effects[0].table), ..., ...)}; otherwise write "
            "it alone in its revision, with a waiver that says why the release at work can work with it",
        )
