"""Operations in online form, as Python in a revision."""

import re
import textwrap
from copy import copy
from typing import Any, Literal

from alembic.autogenerate import render_op_text, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type
from alembic.operations import ops
from sqlalchemy import ARRAY
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import DefaultClause
from sqlalchemy.types import TypeDecorator

from alembic_online.autogenerate.sql import type_sql
from alembic_online.autogenerate.step import Execute, Note, Nothing
from alembic_online.compare.enums import enum_of
from alembic_online.expressions import as_text
from alembic_online.operations.column_sync import SyncColumnsOnlineOp, UnsyncColumnsOnlineOp
from alembic_online.operations.constraints import (
    AddCheckOnlineOp,
    AddForeignKeyOnlineOp,
    AddUniqueOnlineOp,
    DropConstraintOnlineOp,
)
from alembic_online.operations.indexes import CreateIndexOnlineOp, DropIndexOnlineOp
from alembic_online.operations.not_null import DropNotNullOnlineOp, SetNotNullOnlineOp
from alembic_online.operations.rows import BackfillOp

WIDTH = 110
NATIVE = "from sqlalchemy.dialects import postgresql"
BY_NAME = "from alembic_online.types import SqlType"
# A driver's dialect has types of its own in the place of Postgres's.
PLAIN: Any = PGDialect()  # type: ignore[no-untyped-call]


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Enum types with create_type=False: each is created and dropped by a statement of its own, not by its table.
    Server defaults that are strings as they are: Alembic would take their first and last quote for SQL's.

    False leaves the item to Alembic.
    """
    if kind == "server_default" and isinstance(item, DefaultClause) and isinstance(item.arg, str):
        return repr(item.arg)
    if kind == "type" and getattr(item, "create_constraint", False):
        plain_type = copy(item)
        plain_type.create_constraint = False  # the check is one of the table's own
        return _repr_type(plain_type, context)
    if kind == "type" and (stored := _stored(item)) is not item:
        return render_item(kind, stored, context) or _repr_type(stored, context)
    if kind == "type" and (isinstance(item, postgresql.DOMAIN) or not _is_known(item)):
        context.imports.add(BY_NAME)
        return f"SqlType({type_sql(item)!r})"
    enum = enum_of(item) if kind == "type" else None
    if enum is None or enum.name is None:
        return False
    context.imports.add(NATIVE)
    plain = f"postgresql.{postgresql.ENUM(*enum.enums, name=enum.name, schema=enum.schema, create_type=False)!r}"
    return plain if item is enum else f"postgresql.ARRAY({plain})"


def _stored(type_: Any) -> Any:
    """What is stored of a type: a revision never imports the app, so that it does the same in a year."""
    if isinstance(type_, TypeDecorator) and not _is_known(type_):
        return type_.load_dialect_impl(PLAIN)
    if isinstance(type_, ARRAY) and (item := _stored(type_.item_type)) is not type_.item_type:
        stored = copy(type_)
        stored.item_type = item
        return stored
    return type_


def _is_known(type_: Any) -> bool:
    """Whether a revision can import it."""
    return type(type_).__module__.startswith("sqlalchemy.")


@renderers.dispatch_for(Note)
def _note(_: AutogenContext, note: Note) -> list[str]:
    lines: list[str] = []
    for paragraph in note.text.split("\n\n"):
        is_code = paragraph.startswith("    ")
        for part in paragraph.splitlines() if is_code else [paragraph]:
            lines += _folded(part) if is_code else textwrap.wrap(part, WIDTH, break_long_words=False)
        lines.append("")
    return [f"# {line}".rstrip() for line in lines[:-1]]


def _folded(code: str) -> list[str]:
    """A line of code in lines that are not too long, if there are commas between its arguments to break them at."""
    lines = [""]
    for part in re.findall(r"""(?:[^,"']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|['"])+,?|,""", code):
        if lines[-1] and len(lines[-1] + part) > WIDTH:
            lines.append(" " * 11)
        lines[-1] += part
    return lines


@renderers.dispatch_for(Nothing)
def _nothing(_: AutogenContext, __: Nothing) -> str:
    return "pass"


@renderers.dispatch_for(Execute)
def _execute(context: AutogenContext, operation: Execute) -> str:
    parts = textwrap.wrap(as_text(str(operation.sqltext)), WIDTH - 20, drop_whitespace=False, break_long_words=False)
    return f"{context.opts['alembic_module_prefix']}execute({' '.join(map(repr, parts))})"


@renderers.dispatch_for(CreateIndexOnlineOp)
def _create_index(context: AutogenContext, operation: CreateIndexOnlineOp) -> str:
    return _online(context, ops.CreateIndexOp.from_index(operation.to_index()))


@renderers.dispatch_for(DropIndexOnlineOp)
def _drop_index(context: AutogenContext, operation: DropIndexOnlineOp) -> str:
    return _online(context, ops.DropIndexOp(operation.index_name, operation.table_name, schema=operation.schema))


@renderers.dispatch_for(AddForeignKeyOnlineOp)
def _add_foreign_key(context: AutogenContext, operation: AddForeignKeyOnlineOp) -> str:
    plain = ops.CreateForeignKeyOp.from_constraint(operation.to_constraint())
    return _online(context, plain, "add_foreign_key_online")


@renderers.dispatch_for(AddUniqueOnlineOp)
def _add_unique(context: AutogenContext, operation: AddUniqueOnlineOp) -> str:
    plain = ops.CreateUniqueConstraintOp.from_constraint(operation.to_constraint())
    return _online(context, plain, "add_unique_online")


@renderers.dispatch_for(AddCheckOnlineOp)
def _add_check(context: AutogenContext, operation: AddCheckOnlineOp) -> str:
    plain = ops.CreateCheckConstraintOp.from_constraint(operation.to_constraint())
    return _online(context, plain, "add_check_online")


@renderers.dispatch_for(DropConstraintOnlineOp)
def _drop_constraint(context: AutogenContext, operation: DropConstraintOnlineOp) -> str:
    plain = ops.DropConstraintOp(operation.constraint_name, operation.table_name, schema=operation.schema)
    return _online(context, plain)


@renderers.dispatch_for(SetNotNullOnlineOp)
@renderers.dispatch_for(DropNotNullOnlineOp)
def _not_null(context: AutogenContext, operation: SetNotNullOnlineOp | DropNotNullOnlineOp) -> str:
    name = "set_not_null_online" if isinstance(operation, SetNotNullOnlineOp) else "drop_not_null_online"
    return _call(context, name, operation.table_name, operation.column_name, schema=operation.schema)


@renderers.dispatch_for(SyncColumnsOnlineOp)
def _sync_columns(context: AutogenContext, operation: SyncColumnsOnlineOp) -> str:
    name = "unsync_columns_online" if isinstance(operation, UnsyncColumnsOnlineOp) else "sync_columns_online"
    return _call(context, name, operation.table_name, operation.old, operation.new, schema=operation.schema)


@renderers.dispatch_for(BackfillOp)
def _backfill(context: AutogenContext, operation: BackfillOp) -> str:
    wanted = operation.definition
    key = None if wanted.key == ("id",) else wanted.key
    return _call(
        context, "backfill", wanted.table, dict(wanted.values), where=wanted.where, key=key, schema=wanted.schema
    )


def _online(context: AutogenContext, plain: ops.MigrateOperation, name: str | None = None) -> str:
    """A call of the operation `name`, by default Alembic's name with `_online` appended; arguments are Alembic's."""
    prefix = context.opts["alembic_module_prefix"]
    called, arguments = render_op_text(context, plain).removeprefix(prefix).split("(", 1)
    return f"{prefix}{name or f'{called}_online'}({arguments}"


def _call(context: AutogenContext, name: str, *arguments: Any, **options: Any) -> str:
    """A call of the operation `name`; options that are None are left out."""
    given = [repr(argument) for argument in arguments]
    given += [f"{option}={value!r}" for option, value in options.items() if value is not None]
    return f"{context.opts['alembic_module_prefix']}{name}({', '.join(given)})"
