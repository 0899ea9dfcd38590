"""CHECK and EXCLUDE constraints, by name and by what Postgres stores for them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import MigrateOperation, ops
from alembic.util import PriorityDispatchResult
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from alembic_online.expressions import DIALECT, as_text
from alembic_online.postgres import chosen_name
from alembic_online.shadow import accepts, shadow

_ALL = (
    "SELECT nspname, relname, conname, contype, pg_get_constraintdef(p.oid), array(SELECT attname::text"
    " FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)) FROM pg_constraint p"
    " JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE contype IN ('c', 'x') AND conislocal"
)
_LAST = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = to_regclass($1) AND conname = $2"
NOT_VALID = " NOT VALID"


@dataclass(frozen=True)
class Found:
    """A constraint that the database has; `kind` is Postgres's letter: c (check) or x (exclude)."""

    name: str
    kind: str
    definition: str
    columns: list[str]


@dataclass(frozen=True)
class Wanted:
    """A constraint that the models have. Where they give it no name, it is one that Postgres might choose."""

    name: str
    is_named: bool
    constraint: sa.CheckConstraint | ExcludeConstraint


def compare(  # noqa: PLR0913, PLR0917 - Alembic calls it
    context: AutogenContext,
    changes: ops.ModifyTableOps,
    schema: str | None,
    name: str,
    existing: sa.Table | None,
    table: sa.Table | None,
) -> PriorityDispatchResult:
    """Alembic's comparator of tables: what is added, dropped, or another under the same name."""
    if existing is None or table is None:
        return PriorityDispatchResult.CONTINUE
    assert context.connection is not None
    there = {found.name: found for found in _found(context, schema, name)}
    wanted = list({each.name: each for each in constraints_of(table)}.values())
    stored = _stored(context.connection, existing, wanted) if there and wanted else defaultdict(set)
    for each in wanted:
        match = there.get(each.name)
        if not each.is_named:
            match = next((found for found in there.values() if found.definition in stored[each.name]), match)
        if match is not None:
            del there[match.name]
            if match.definition.removesuffix(NOT_VALID) in stored[each.name]:
                continue
            changes.ops.append(_drop(existing, match))
        changes.ops.append(_add(table, schema, each))
    changes.ops.extend(_drop(existing, found) for found in there.values())
    return PriorityDispatchResult.CONTINUE


def constraints_of(table: sa.Table) -> Iterator[Wanted]:
    """The CHECK and EXCLUDE constraints of a table of the models: its own, its columns', and those of their types."""
    compiler = DIALECT.ddl_compiler(DIALECT, None)
    everywhere = [*table.constraints, *(each for column in table.columns for each in column.constraints)]
    for constraint in everywhere:
        rule = constraint._create_rule  # noqa: SLF001 - whether this database needs it, for one that a type makes
        if isinstance(constraint, sa.CheckConstraint | ExcludeConstraint) and (rule is None or rule(compiler)):
            # Its own name, or by the convention; longer ones are truncated as they are in SQL.
            preparer = DIALECT.identifier_preparer
            name = constraint.name and preparer.format_constraint(constraint, _alembic_quote=False)
            yield Wanted(name or _chosen(table, constraint), bool(name), constraint)


def _chosen(table: sa.Table, constraint: sa.CheckConstraint | ExcludeConstraint) -> str:
    kind = "check" if isinstance(constraint, sa.CheckConstraint) else "excl"
    return chosen_name(table.name, [column.name for column in getattr(constraint, "columns", ())], kind)


def definition_of(constraint: sa.Constraint) -> str:
    """The constraint as SQL, with its name if it has one."""
    return str(DIALECT.ddl_compiler(DIALECT, None).process(constraint)).strip()


def _found(context: AutogenContext, schema: str | None, table: str) -> list[Found]:
    cache = context.inspector.info_cache
    key = "alembic_online.compare.constraints"
    if key not in cache:
        assert context.connection is not None
        cache[key] = defaultdict(list)
        for namespace, relation, *found in context.connection.exec_driver_sql(_ALL):
            kind: Any = found[1]
            cache[key][namespace, relation].append(Found(found[0], kind.decode(), *found[2:]))
    return list(cache[key][schema or context.inspector.default_schema_name, table])


def _stored(connection: sa.Connection, existing: sa.Table, wanted: list[Wanted]) -> dict[str, set[str]]:
    """What Postgres stores for each, by name; nothing if it refuses it: a column or a type does not exist yet.

    There may be two forms. What it shows of `a IN ('b')` is stored in another form again, if that is executed.
    """
    stored: dict[str, set[str]] = {}
    with shadow(connection, existing) as table:
        for each in wanted:
            name = DIALECT.identifier_preparer.quote(each.name)
            definition = definition_of(each.constraint)
            if not definition.startswith("CONSTRAINT "):
                definition = f"CONSTRAINT {name} {definition}"
            forms = stored[each.name] = set[str]()
            while accepts(connection, f"ALTER TABLE {table} ADD {definition}"):
                shown = connection.exec_driver_sql(_LAST, (table, each.name)).scalar_one()
                if shown in forms:
                    break
                forms.add(shown)
                connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
                definition = f"CONSTRAINT {name} {shown}"
    return stored


def _add(table: sa.Table, schema: str | None, wanted: Wanted) -> MigrateOperation:
    if isinstance(wanted.constraint, ExcludeConstraint):
        return CreateExcludeConstraintOp.from_constraint(wanted.constraint)
    return ops.CreateCheckConstraintOp(
        sa.schema.conv(wanted.name), table.name, wanted.constraint.sqltext, schema=schema
    )


def _drop(existing: sa.Table, found: Found) -> ops.DropConstraintOp:
    """The operation; it knows the constraint's definition and columns, for autogenerate to restore it."""
    info = {"definition": found.definition, "columns": found.columns}
    name = sa.schema.conv(found.name)
    constraint: sa.Constraint
    if found.kind == "c":
        condition = found.definition.removeprefix("CHECK ").removesuffix(NOT_VALID)
        constraint = sa.CheckConstraint(sa.text(as_text(condition)), name=name, table=existing, info=info)
        return ops.DropConstraintOp.from_constraint(constraint)
    constraint = sa.Constraint(name=name, info=info)
    constraint._set_parent(existing)  # noqa: SLF001 - there is no reflection of these
    return DropExclusion(constraint)


class DropExclusion(ops.DropConstraintOp):
    """Drop an exclusion constraint, which Alembic can't reflect."""

    def __init__(self, constraint: sa.Constraint) -> None:
        table = constraint.table
        super().__init__(constraint.name, table.name, schema=table.schema)
        self.constraint = constraint

    def to_constraint(self) -> sa.Constraint:
        return self.constraint

    def reverse(self) -> Any:
        return self
