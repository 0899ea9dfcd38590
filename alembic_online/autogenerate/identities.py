"""Columns that become identities, or other ones, or none any more."""

from collections.abc import Iterator
from dataclasses import dataclass
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

# The sequences that a column's default reads, or that belong to it, as that of a serial does; and what creates each.
_SEQUENCES = """\
SELECT nspname, relname,
    format('AS %s INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s', seqtypid::regtype, seqincrement,
        seqmin, seqmax, seqstart, seqcache, CASE WHEN seqcycle THEN ' CYCLE' ELSE '' END),
    is_own, is_read
FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
CROSS JOIN pg_sequence JOIN pg_class s ON s.oid = seqrelid JOIN pg_namespace n ON n.oid = s.relnamespace
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = s.oid
    AND refobjid = attrelid AND refobjsubid = attnum AND deptype = 'a') AS is_own,
    EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_attrdef'::regclass AND objid = pg_attrdef.oid
    AND refobjid = s.oid) AS is_read) AS found
WHERE attrelid = to_regclass($1) AND attname = $2 AND (is_own OR is_read)"""


NOT_RESTARTED = "lint: allow ban-alter-sequence-values: it goes on counting where it is"


@dataclass(frozen=True)
class _Sequence:
    """A sequence, as SQL; whether it belongs to the column, and whether its default reads it."""

    name: str
    create: str
    is_own: bool
    is_read: bool


def concerns(operation: ops.AlterColumnOp) -> bool:
    """Whether the column is, or is to be, an identity, and something about that differs."""
    wanted, there = operation.modify_server_default, operation.existing_server_default
    return isinstance(wanted, sa.Identity) or (wanted is not False and isinstance(there, sa.Identity))


def alter(operation: ops.AlterColumnOp, column: sa.Column[Any], change: ChangeContext) -> Iterator[Step]:
    """The steps from one kind of numbers to another."""
    wanted, there = operation.modify_server_default, operation.existing_server_default
    its = _Column(column)
    if isinstance(wanted, sa.Identity) and isinstance(there, sa.Identity):
        yield from _to_another(its, wanted, there)
    elif isinstance(wanted, sa.Identity) and (found := its.numbered_by(change)):
        yield from _from_sequence(its, wanted, found)
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
    for each in _Column(column).sequences(change):
        if each.is_read:
            return DefaultClause(sa.text(as_text(f"nextval({string_sql(each.name)}::regclass)")))
    return None


class _Column:
    """A column, as SQL."""

    def __init__(self, column: sa.Column[Any]) -> None:
        self.title = f"{column.table.name}.{column.name}"
        self.table, self.name = table_sql(column.table.name, column.table.schema), quote(column.name)
        self.alter = f"ALTER TABLE {self.table} ALTER COLUMN {self.name}"
        self.numbers = f"pg_get_serial_sequence({string_sql(self.table)}, {string_sql(column.name)})"
        self.serial = table_sql(short_name(f"{column.table.name}_{column.name}_serial"), column.table.schema)
        self.owner = f"{self.table}.{self.name}"
        self._raw = column.name

    def sequences(self, change: ChangeContext) -> list[_Sequence]:
        """The sequences that its default reads, or that belong to it."""
        rows = change.connection.exec_driver_sql(_SEQUENCES, (self.table, self._raw)).all()
        return [
            _Sequence(name, f"CREATE SEQUENCE {name} {options}", is_own, is_read)
            for schema, relation, options, is_own, is_read in rows
            for name in [table_sql(relation, schema)]
        ]

    def numbered_by(self, change: ChangeContext) -> list[_Sequence]:
        """These, if its default reads one of them."""
        found = self.sequences(change)
        return found if any(each.is_read for each in found) else []

    def generated(self, identity: sa.Identity, kind: str) -> str:
        """The statement that makes it an identity."""
        options = DIALECT.ddl_compiler(DIALECT, None).get_identity_options(identity)
        return f"{self.alter} ADD GENERATED {kind} AS IDENTITY" + (f" ({options})" if options else "")


def _to_another(its: _Column, wanted: sa.Identity, there: sa.Identity) -> Iterator[Step]:
    """To other numbers, or to another rule about who writes them."""
    new, old = (f"{its.alter} {_settings(identity)}" for identity in (wanted, there))
    if new != old:
        yield Step(Place.TOGETHER, f"numbers of {its.title}", Note(NOT_RESTARTED), Execute(new, old))
    always = Execute(f"{its.alter} SET GENERATED ALWAYS", f"{its.alter} SET GENERATED BY DEFAULT")
    if wanted.always and not there.always:  # the previous release may write numbers of its own
        yield Step(Place.CONTRACT_TOGETHER, f"always {its.title}", always)
    elif there.always and not wanted.always:
        yield Step(Place.TOGETHER, f"not always {its.title}", always.reverse())


def _settings(identity: sa.Identity) -> str:
    """All that ALTER COLUMN sets of an identity, which would keep what is not named."""
    increment = identity.increment or 1
    start = (
        identity.start or (identity.minvalue if increment > 0 else identity.maxvalue) or (1 if increment > 0 else -1)
    )
    least = "NO MINVALUE" if identity.minvalue is None else f"MINVALUE {identity.minvalue}"
    most = "NO MAXVALUE" if identity.maxvalue is None else f"MAXVALUE {identity.maxvalue}"
    cycle = "CYCLE" if identity.cycle else "NO CYCLE"
    options = (f"INCREMENT BY {increment}", least, most, f"START WITH {start}", f"CACHE {identity.cache or 1}", cycle)
    return " ".join(f"SET {option}" for option in options)


def _from_sequence(its: _Column, wanted: sa.Identity, found: list[_Sequence]) -> Iterator[Step]:
    """From a serial, or another column that a sequence numbers. The identity goes on counting where that is."""
    (old,) = (each.name for each in found if each.is_read)
    said = string_sql(old)
    own = [each for each in found if each.is_own]
    yield Step(
        Place.TOGETHER,
        f"identity {its.title}",
        Execute(f"{its.alter} DROP DEFAULT", f"{its.alter} SET DEFAULT nextval({said}::regclass)"),
        *(
            Execute(f"ALTER SEQUENCE {each.name} OWNED BY NONE", f"ALTER SEQUENCE {each.name} OWNED BY {its.owner}")
            for each in own
        ),
        Execute(its.generated(wanted, "BY DEFAULT"), f"{its.alter} DROP IDENTITY"),
        Execute(f"SELECT setval({its.numbers}, nextval({said}))", f"SELECT setval({said}, nextval({its.numbers}))"),
    )
    if wanted.always:  # the previous release may write numbers of its own
        always = Execute(f"{its.alter} SET GENERATED ALWAYS", f"{its.alter} SET GENERATED BY DEFAULT")
        yield Step(Place.CONTRACT_TOGETHER, f"always {its.title}", always)
    for each in own:
        yield Step(
            Place.CONTRACT_TOGETHER, f"no sequence {each.name}", Execute(f"DROP SEQUENCE {each.name}", each.create)
        )


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
        Execute(f"ALTER SEQUENCE {new} OWNED BY {its.owner}", f"ALTER SEQUENCE {new} OWNED BY NONE"),
    )
