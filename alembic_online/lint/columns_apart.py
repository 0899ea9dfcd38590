"""The safe way to add a column, or change its type, that can't be done at once: in steps, each with a short lock."""

import postgast
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node

from alembic_online.lint.backfill_calls import fill
from alembic_online.lint.calls import call, columns_in, execute, expression, name_of
from alembic_online.lint.online_calls import (
    add_column,
    add_constraint,
    add_primary_key,
    set_default,
    set_not_null,
    sync_columns,
    unsync_columns,
)
from alembic_online.sql import Schema
from alembic_online.sql.expressions import SERIAL, is_volatile, type_name
from alembic_online.sql.names import qualified, quote

BY_CALL = (pg.CONSTR_FOREIGN, pg.CONSTR_CHECK, pg.CONSTR_UNIQUE)
BIGINT = unwrap_node(postgast.parse("ALTER TABLE t ADD c bigint").stmts[0].stmt)


def constraints_of(column: pg.ColumnDef) -> dict[int, pg.Constraint]:
    """The constraints of a column, by kind."""
    found = map(unwrap_node, column.constraints)
    return {each.contype: each for each in found if isinstance(each, pg.Constraint)}


def plain(column: pg.ColumnDef, *kept: int) -> pg.ColumnDef:
    """The column, with its constraints of these kinds only."""
    made = pg.ColumnDef()
    made.CopyFrom(column)
    del made.constraints[:]
    made.constraints.extend(each for each in column.constraints if each.constraint.contype in kept)
    return made


def way_of_column(table: pg.RangeVar, column: pg.ColumnDef) -> str | None:
    """The way to add a column; None if nothing about it is slow, or no way is known."""
    said = constraints_of(column)
    if pg.CONSTR_EXCLUSION in said:
        return None
    if pg.CONSTR_GENERATED in said:
        return _generated(table, column, said[pg.CONSTR_GENERATED])
    later: list[str] = []
    kept: list[int] = []
    default = said.get(pg.CONSTR_DEFAULT)
    if pg.CONSTR_IDENTITY in said or type_name(column.type_name) in SERIAL:
        first, later = _numbers(table, column)
    elif default and is_volatile(default.raw_expr, Schema()):
        value = expression(default.raw_expr)
        first = [add_column(table, plain(column)), set_default(table, column.colname, value)]
        later = [fill(table, {column.colname: value}, f"{quote(column.colname)} IS NULL")]
    else:
        kept = [pg.CONSTR_DEFAULT, pg.CONSTR_NOTNULL] if default else []
        first = [add_column(table, plain(column, *kept))]
    is_slow = bool(later) or bool(said.keys() & {*BY_CALL, pg.CONSTR_PRIMARY})
    later += [add_constraint(table, said[kind], column.colname) for kind in BY_CALL if kind in said]
    if pg.CONSTR_PRIMARY in said:
        later += add_primary_key(table, said[pg.CONSTR_PRIMARY], column.colname)
    elif pg.CONSTR_NOTNULL in said and pg.CONSTR_NOTNULL not in kept:
        later.append(set_not_null(table, column.colname))
    if not is_slow:
        return None
    alone = "alone in its revision" if len(later) == 1 else "each alone in its revision"
    return f"Add the column by itself: {'; '.join(first)}; then use {', then '.join(later)}, {alone}"


def required_way(table: pg.RangeVar, column: pg.ColumnDef) -> str:
    """The way to add a NOT NULL column without a default."""
    added, name = add_column(table, plain(column)), column.colname
    filled = fill(table, {name: ...}, f"{quote(name)} IS NULL")
    return (
        f"Add it with a constant server_default; or nullable, {added}, and then {filled} and "
        f"{set_not_null(table, name)}, each in a revision of its own, once the app writes it"
    )


def way_of_type(table: pg.RangeVar, column: str, definition: pg.ColumnDef, existing_type: str | None) -> str:
    """The way to change a type: a second column."""
    new = name_of(column, "new")
    successor = pg.ColumnDef(colname=new, type_name=definition.type_name, is_local=True)
    using = definition.raw_default
    is_cast = not definition.HasField("raw_default") or _is_cast_of(using, column)
    value = expression(using) if definition.HasField("raw_default") else quote(column)
    filled = fill(table, {new: value})
    dropped = call("drop_column", table.relname, column, schema=table.schemaname)
    if is_cast:
        kept = f"keep both equal with {sync_columns(table, column, new)}; fill it with {filled}"
        gone = f"end that with {unsync_columns(table, column, new)} and {dropped} in contract revisions"
    else:
        kept = f"let the app write both; fill it with {filled}"
        gone = f"drop the old one with {dropped} in a contract revision"
    way = f"Add a second column, {add_column(table, successor)}; {kept}; switch the app over, and {gone}"
    if existing_type:
        return way
    said = call("alter_column", table.relname, column, type_=..., existing_type=..., schema=table.schemaname)
    return f"{way}. If no row has to change, name the present type: {said}"


def _is_cast_of(using: pg.Node, column: str) -> bool:
    return using.HasField("type_cast") and using.type_cast.arg.HasField("column_ref") and columns_in(using) == [column]


def _generated(table: pg.RangeVar, column: pg.ColumnDef, generated: pg.Constraint) -> str:
    virtual = plain(column, pg.CONSTR_GENERATED)
    virtual.constraints[0].constraint.generated_kind = "v"
    filled = fill(table, {column.colname: expression(generated.raw_expr)})
    return (
        f"Postgres 18 computes a VIRTUAL one when it is read, and adds it in an instant: {add_column(table, virtual)}; "
        f"or add a plain column, {add_column(table, plain(column))}, let the app write it, and fill it with {filled}"
    )


def _numbers(table: pg.RangeVar, column: pg.ColumnDef) -> tuple[list[str], list[str]]:
    """A plain bigint with a sequence of its own: the steps for new rows, and those for existing rows."""
    sequence = qualified(table.schemaname, name_of(table.relname, column.colname, "seq"))
    made, name = plain(column), column.colname
    command = unwrap_node(BIGINT.cmds[0])
    made.type_name.CopyFrom(getattr(command, "def").column_def.type_name)
    following = "nextval('{}')".format(sequence.replace("'", "''"))
    first = [execute(f"CREATE SEQUENCE {sequence}"), add_column(table, made), set_default(table, name, following)]
    return first, [fill(table, {name: following}, f"{quote(name)} IS NULL")]
