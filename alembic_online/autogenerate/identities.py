"""Columns that become identities, or other ones, or none any more."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.schema import DefaultClause

from alembic_online.autogenerate import recipes
from alembic_online.autogenerate.context import ChangeContext
from alembic_online.autogenerate.sql import table_sql
from alembic_online.autogenerate.step import Execute, Note, Place, Step
from alembic_online.expressions import DIALECT, as_text, quote, string_sql
from alembic_online.operations.steps import short_name

# The sequence that a column's default reads, what would create it, and whether it belongs to the column, as that of a
# serial does.
_NUMBERED_BY = """\
SELECT nspname, relname,
    format('AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s', seqtypid::regtype, seqincrement,
        seqmin, seqmax, seqstart, seqcache, CASE WHEN seqcycle THEN ' CYCLE' ELSE '' END),
    coalesce(pg_get_serial_sequence($1, $2)::regclass = s.oid, false)
FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
JOIN pg_depend ON classid = 'pg_attrdef'::regclass AND objid = pg_attrdef.oid
JOIN pg_class s ON s.oid = refobjid AND s.relkind = 'S' JOIN pg_sequence ON seqrelid = s.oid
JOIN pg_namespace n ON n.oid = s.relnamespace
WHERE adrelid = to_regclass($1) AND attname = $2"""


def concerns(operation: ops.AlterColumnOp) -> bool:
    """Whether the column is, or is to be, an identity, and something about that differs."""
    wanted, there = operation.modify_server_default, operation.existing_server_default
    return isinstance(wanted, sa.Identity) or (wanted is not False and isinstance(there, sa.Identity))


def alter(operation: ops.AlterColumnOp, column: sa.Column[Any], change: ChangeContext) -> Iterator[Step]:
    """The steps from one kind of numbers to another."""
    wanted, there = operation.modify_server_default, operation.existing_server_default
    its = _Column(column)
    if isinstance(wanted, sa.Identity) and isinstance(there, sa.Identity):
        place = Place.CONTRACT_TOGETHER if wanted.always and not there.always else Place.TOGETHER
        yield Step(place, f"another identity {its.title}", operation)
    elif isinstance(wanted, sa.Identity) and (found := its.find_sequence(change)):
        yield from _from_sequence(its, wanted, *found)
    elif isinstance(wanted, sa.Identity):
        yield Step(Place.TOGETHER, f"not yet an identity {its.title}", Note(recipes.identity_column(column)))
    elif isinstance(there, sa.Identity) and column is column.table.autoincrement_column:
        yield from _to_serial(its, there)
    else:
        yield Step(
            Place.TOGETHER, f"still an identity {its.title}", Note(recipes.drop_identity(column, change.release))
        )


def default_of_serial(column: sa.Column[Any], change: ChangeContext) -> DefaultClause | None:
    """The default of a serial column; None if it is none."""
    found = _Column(column).find_sequence(change)
    return found and DefaultClause(sa.text(as_text(f"nextval({string_sql(found[0])}::regclass)")))


class _Column:
    """A column, as SQL."""

    def __init__(self, column: sa.Column[Any]) -> None:
        self.title = f"{column.table.name}.{column.name}"
        self.table, self.name = table_sql(column.table.name, column.table.schema), quote(column.name)
        self.alter = f"ALTER TABLE {self.table} ALTER COLUMN {self.name}"
        self.numbers = f"pg_get_serial_sequence({string_sql(self.table)}, {string_sql(column.name)})"
        self.serial = table_sql(short_name(f"{column.table.name}_{column.name}_serial"), column.table.schema)
        self._raw = column.name

    def find_sequence(self, change: ChangeContext) -> tuple[str, str, bool] | None:
        """The sequence of its default: name, what creates it, whether the column owns it."""
        connection = change.database.bind
        assert isinstance(connection, sa.Connection)
        found = connection.exec_driver_sql(_NUMBERED_BY, (self.table, self._raw)).one_or_none()
        return found and (
            table_sql(found[1], found[0]),
            f"CREATE SEQUENCE {table_sql(found[1], found[0])} {found[2]}",
            found[3],
        )

    def generated(self, identity: sa.Identity, kind: str) -> str:
        """The statement that makes it an identity."""
        options = DIALECT.ddl_compiler(DIALECT, None).get_identity_options(identity)
        return f"{self.alter} ADD GENERATED {kind} AS IDENTITY" + (f" ({options})" if options else "")


def _from_sequence(its: _Column, wanted: sa.Identity, old: str, create: str, is_own: bool) -> Iterator[Step]:
    """From a serial, or another column that a sequence numbers. The identity goes on counting where that is."""
    said = string_sql(old)
    own = Execute(f"ALTER SEQUENCE {old} OWNED BY NONE", f"ALTER SEQUENCE {old} OWNED BY {its.table}.{its.name}")
    yield Step(
        Place.TOGETHER,
        f"identity {its.title}",
        Execute(f"{its.alter} DROP DEFAULT", f"{its.alter} SET DEFAULT nextval({said}::regclass)"),
        *([own] if is_own else []),
        Execute(its.generated(wanted, "BY DEFAULT"), f"{its.alter} DROP IDENTITY"),
        Execute(f"SELECT setval({its.numbers}, nextval({said}))", f"SELECT setval({said}, nextval({its.numbers}))"),
    )
    if wanted.always:  # the previous release may write numbers of its own
        always = Execute(f"{its.alter} SET GENERATED ALWAYS", f"{its.alter} SET GENERATED BY DEFAULT")
        yield Step(Place.CONTRACT_TOGETHER, f"always {its.title}", always)
    if is_own:
        yield Step(Place.CONTRACT_TOGETHER, f"no sequence {old}", Execute(f"DROP SEQUENCE {old}", create))


def _to_serial(its: _Column, there: sa.Identity) -> Iterator[Step]:
    """To a serial. Nobody notices, but the models say so."""
    new, said = its.serial, string_sql(its.serial)
    kind = "ALWAYS" if there.always else "BY DEFAULT"
    yield Step(
        Place.CONTRACT_TOGETHER,
        f"serial {its.title}",
        Execute(f"CREATE SEQUENCE {new}", f"DROP SEQUENCE {new}"),
        Execute(f"SELECT setval({said}, nextval({its.numbers}))", f"SELECT setval({its.numbers}, nextval({said}))"),
        Execute(f"{its.alter} DROP IDENTITY", its.generated(there, kind)),
        Execute(f"{its.alter} SET DEFAULT nextval({said}::regclass)", f"{its.alter} DROP DEFAULT"),
        Execute(f"ALTER SEQUENCE {new} OWNED BY {its.table}.{its.name}", f"ALTER SEQUENCE {new} OWNED BY NONE"),
    )
