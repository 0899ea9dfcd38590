"""ALTER TABLE: the lock and the work of each subcommand; a statement takes the strongest lock that one needs.

Source: AlterTableGetLockLevel of Postgres 18.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.sql import partitions
from alembic_online.sql.constraints import (
    add_constraint,
    drop_constraint,
    foreign_key,
    is_no_domain,
    type_constraints,
    validate,
)
from alembic_online.sql.effect import Effect, Work, unknown
from alembic_online.sql.expressions import SERIAL, is_null, is_volatile, type_name
from alembic_online.sql.indexes import table_of
from alembic_online.sql.lock import Lock
from alembic_online.sql.names import quote, table_name
from alembic_online.sql.schema import Schema
from alembic_online.sql.subcommands import (
    EVEN_WITH_ONLY,
    EXCLUSIVE,
    NOT_HANDED_DOWN,
    REWRITES,
    STATISTICS,
    TRIGGERS,
    UPKEEP,
)
from alembic_online.sql.types import cost_of_change

Parts = Iterator[Effect]


def alter_table(statement: pg.AlterTableStmt, schema: Schema) -> Parts:
    """ALTER TABLE, and ALTER INDEX, VIEW, SEQUENCE and the like, which are the same to the parser."""
    name = table_name(statement.relation)
    if statement.objtype == pg.OBJECT_TYPE:
        yield unknown(f"the tables of type {name}", "tables of a composite type change with it")
        return
    is_index = statement.objtype == pg.OBJECT_INDEX or name in schema.indexes
    table = schema.indexes.get(name, f"(the table of index {name})") if is_index else name
    commands = [unwrap_node(command) for command in statement.cmds]
    dropped = {(table, command.name) for command in commands if command.subtype == pg.AT_DropConstraint}
    if dropped & schema.proofs.keys():  # Postgres drops first
        schema = replace(schema, proofs={key: column for key, column in schema.proofs.items() if key not in dropped})
    for command in commands:
        below = _handed_down(table, command, schema, is_only=not statement.relation.inh)
        for effect in _subcommand(table, command, schema):
            yield effect
            for child in below if effect.table == table else ():
                yield Effect(child, effect.lock, effect.work, f"{effect.why}, as a part of {table}")


def _handed_down(table: str, command: pg.AlterTableCmd, schema: Schema, *, is_only: bool) -> list[str]:
    """The tables below this one that a subcommand is about, too, with the same lock."""
    kind, is_partitioned = command.subtype, table in schema.partitioned
    if is_only and not (is_partitioned and kind == pg.AT_DropConstraint):
        return list(schema.children.get(table, ())) if kind in EVEN_WITH_ONLY else []
    if kind in NOT_HANDED_DOWN and not (is_partitioned and kind in TRIGGERS):
        return []
    return list(schema.descendants(table))


def _subcommand(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    kind = command.subtype
    if kind in EXCLUSIVE:
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, EXCLUSIVE[kind])
    elif kind in REWRITES:
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.REWRITE, REWRITES[kind])
    elif kind in TRIGGERS:
        yield Effect(table, Lock.SHARE_ROW_EXCLUSIVE, Work.NONE, "triggers affect later writes only")
    elif kind in STATISTICS:
        yield Effect(table, Lock.SHARE_UPDATE_EXCLUSIVE, Work.NONE, "statistics change the catalogs only")
    elif kind in SUBCOMMANDS:
        yield from SUBCOMMANDS[kind](table, command, schema)
    else:
        subcommand = pg.AlterTableType.Name(kind).removeprefix("AT_")
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.UNKNOWN, f"the subcommand {subcommand} is not known here")


def _add_column(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    column = getattr(command, "def").column_def
    if command.missing_ok and schema.column_type(table, column.colname):
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"the column {quote(column.colname)} exists already")
        return
    constraints = [unwrap_node(node) for node in column.constraints]
    yield Effect(table, Lock.ACCESS_EXCLUSIVE, *_values(column, constraints, schema))
    default = next((found.raw_expr for found in constraints if found.contype == pg.CONSTR_DEFAULT), None)
    has_values = default is not None and not is_null(default)
    for constraint in constraints:
        if constraint.contype == pg.CONSTR_NOTNULL:
            if not has_values:
                yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.SCAN, "NOT NULL without a default checks for rows")
        elif constraint.contype == pg.CONSTR_FOREIGN:
            yield from foreign_key(table, constraint, schema, looks=has_values)
            yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, "a column is added")
        elif constraint.contype in {pg.CONSTR_CHECK, pg.CONSTR_UNIQUE, pg.CONSTR_PRIMARY}:
            yield from add_constraint(table, constraint, schema)


def _values(column: pg.ColumnDef, constraints: list[pg.Constraint], schema: Schema) -> tuple[Work, str]:
    """What it costs to give the added column its values."""
    name = quote(column.colname)
    if type_name(column.type_name) in SERIAL:
        return Work.REWRITE, f"{name} is a serial: every row gets a number of its own"
    for constraint in constraints:
        if constraint.contype == pg.CONSTR_IDENTITY:
            return Work.REWRITE, f"{name} is an identity: every row gets a number of its own"
        if constraint.contype == pg.CONSTR_GENERATED and constraint.generated_kind != "v":
            return Work.REWRITE, f"{name} is computed for every row, and stored"
        if constraint.contype == pg.CONSTR_DEFAULT and is_volatile(constraint.raw_expr, schema):
            return Work.REWRITE, f"the default of {name} is volatile: every row gets a value of its own"
    kind = type_name(column.type_name)
    if schema.domains.get(kind):
        return Work.REWRITE, f"{kind} is a domain with constraints: every row is checked against them"
    doubt = "" if is_no_domain(kind, schema) else f", unless {kind} is a domain with constraints"
    return Work.NONE, f"{name} is added without touching a row{doubt}"


def _drop_column(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, "a column is dropped without touching a row")
    for key in schema.refers_to(table):
        if command.name in key.columns:
            yield Effect(key.referred, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"the foreign key {key.name} is dropped, too")
    if command.behavior == pg.DROP_CASCADE:
        for key in schema.foreign_keys_to(table):
            if command.name in key.referred_columns:
                yield Effect(key.table, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"the foreign key {key.name} is dropped, too")


def _alter_type(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    definition = getattr(command, "def").column_def
    using = definition.raw_default if definition.HasField("raw_default") else None
    old = schema.column_type(table, command.name)
    work, why = cost_of_change(command.name, old, definition, using)
    yield Effect(table, Lock.ACCESS_EXCLUSIVE, work, why)
    if (table, command.name) in schema.indexed:
        why = f"the indexes of {quote(command.name)} are built anew in each partition, whatever the type"
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.BUILD, why)
    yield from type_constraints(table, command.name, schema)


def _set_not_null(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    if schema.is_never_null(table, command.name):
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"{quote(command.name)} is known to have no NULL")
    else:
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.SCAN, f"SET NOT NULL looks for NULLs in {quote(command.name)}")


def _add_constraint(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    yield from add_constraint(table, getattr(command, "def").constraint, schema)


def _alter_constraint(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    change = getattr(command, "def").atalter_constraint
    work, why = (
        (Work.SCAN, "a constraint is checked when it becomes enforced")
        if change.alter_enforceability and change.is_enforced
        else (Work.NONE, "ALTER CONSTRAINT changes the catalogs only")
    )
    yield Effect(table, Lock.ACCESS_EXCLUSIVE, work, why)
    known = [key.referred for key in schema.foreign_keys if (key.table, key.name) == (table, change.conname)]
    if change.alter_enforceability:
        lock = Lock.SHARE_ROW_EXCLUSIVE if change.is_enforced else Lock.ACCESS_EXCLUSIVE
        for referred in known or [f"(the table that {quote(change.conname)} refers to)"]:
            for name in schema.with_partitions(referred):
                yield Effect(name, lock, Work.NONE, "its triggers are changed, too")


def _drop_constraint(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    yield from drop_constraint(table, command.name, command.behavior == pg.DROP_CASCADE, schema)


def _validate(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    yield from validate(table, command.name, schema)


def _options(table: str, command: pg.AlterTableCmd, _: Schema) -> Parts:
    options = [unwrap_node(node) for node in getattr(command, "def").list.items]
    names = [option.defname for option in options if isinstance(option, pg.DefElem)]
    is_upkeep = all(name in UPKEEP or "autovacuum" in name for name in names)
    lock = Lock.SHARE_UPDATE_EXCLUSIVE if is_upkeep else Lock.ACCESS_EXCLUSIVE
    yield Effect(table, lock, Work.NONE, "options change the catalogs only")


def _inherit(table: str, command: pg.AlterTableCmd, _: Schema) -> Parts:
    parent = table_name(getattr(command, "def").range_var)
    yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, "inheritance changes the catalogs only")
    leaves = command.subtype == pg.AT_DropInherit
    lock = Lock.ACCESS_SHARE if leaves else Lock.SHARE_UPDATE_EXCLUSIVE
    yield Effect(parent, lock, Work.NONE, "its columns are compared")


def _attach(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    attached = getattr(command, "def").partition_cmd
    child = table_name(attached.name)
    if not attached.HasField("bound"):  # ALTER INDEX
        yield Effect(table, Lock.SHARE_UPDATE_EXCLUSIVE, Work.NONE, "gets a part, while reads and writes go on")
        yield Effect(table_of(child, schema), Lock.ACCESS_EXCLUSIVE, Work.NONE, "its index is attached")
        return
    yield Effect(table, Lock.SHARE_UPDATE_EXCLUSIVE, Work.NONE, "gets a partition, while reads and writes go on")
    yield from partitions.join(table, child, schema)


def _detach(table: str, command: pg.AlterTableCmd, schema: Schema) -> Parts:
    detached = getattr(command, "def").partition_cmd
    online = detached.concurrent or command.subtype == pg.AT_DetachPartitionFinalize
    lock = Lock.SHARE_UPDATE_EXCLUSIVE if online else Lock.ACCESS_EXCLUSIVE
    yield Effect(table, lock, Work.NONE, "loses a partition")
    yield from partitions.leave(table, table_name(detached.name), schema)


SUBCOMMANDS: dict[int, Callable[[str, pg.AlterTableCmd, Schema], Parts]] = {
    pg.AT_AddColumn: _add_column,
    pg.AT_DropColumn: _drop_column,
    pg.AT_AlterColumnType: _alter_type,
    pg.AT_SetNotNull: _set_not_null,
    pg.AT_AddConstraint: _add_constraint,
    pg.AT_AlterConstraint: _alter_constraint,
    pg.AT_DropConstraint: _drop_constraint,
    pg.AT_ValidateConstraint: _validate,
    pg.AT_SetRelOptions: _options,
    pg.AT_ResetRelOptions: _options,
    pg.AT_AddInherit: _inherit,
    pg.AT_DropInherit: _inherit,
    pg.AT_AttachPartition: _attach,
    pg.AT_DetachPartition: _detach,
    pg.AT_DetachPartitionFinalize: _detach,
}
