"""Constraints, added, validated and dropped: the effects on their table, and on the one that they refer to."""

from collections.abc import Iterator

from postgast import pg_query_pb2 as pg

from alembic_online.sql.effect import Effect, Work
from alembic_online.sql.expressions import TYPES
from alembic_online.sql.lock import Lock
from alembic_online.sql.names import quote, strings, table_name
from alembic_online.sql.schema import Schema

BUILDS = {pg.CONSTR_PRIMARY: "PRIMARY KEY", pg.CONSTR_UNIQUE: "UNIQUE", pg.CONSTR_EXCLUSION: "EXCLUDE"}


def add_constraint(table: str, constraint: pg.Constraint, schema: Schema) -> Iterator[Effect]:
    """A constraint, added to an existing table."""
    if constraint.contype == pg.CONSTR_FOREIGN:
        yield from foreign_key(
            table, constraint, schema, looks=not constraint.skip_validation and constraint.is_enforced
        )
    elif constraint.contype in BUILDS:
        yield from _by_index(table, constraint)
    elif constraint.contype == pg.CONSTR_NOTNULL:
        columns = strings(constraint.keys)
        if constraint.skip_validation or all(schema.is_never_null(table, column) for column in columns):
            yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, "NOT NULL without a check of the rows")
        else:
            yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.SCAN, "NOT NULL checks every row")
    elif constraint.contype == pg.CONSTR_CHECK:
        if constraint.skip_validation or not constraint.is_enforced:
            yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, "CHECK for new rows: existing ones are not checked")
        else:
            yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.SCAN, "CHECK checks every row")
    else:
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.UNKNOWN, "this kind of constraint is not known here")


def foreign_key(table: str, constraint: pg.Constraint, schema: Schema, *, looks: bool) -> Iterator[Effect]:
    """A foreign key, added to an existing table; `looks` is whether existing rows are checked."""
    work, why = (
        (Work.SCAN, "FOREIGN KEY checks every row")
        if looks
        else (Work.NONE, "FOREIGN KEY for new rows: existing ones are not checked")
    )
    yield Effect(table, Lock.SHARE_ROW_EXCLUSIVE, work, why)
    referred, columns = table_name(constraint.pktable), strings(constraint.fk_attrs)
    for name in schema.with_partitions(referred):
        yield Effect(name, Lock.SHARE_ROW_EXCLUSIVE, Work.NONE, "ADD FOREIGN KEY locks the referenced table, too")
    for part in schema.partitions(table):
        for own in schema.refers_to(part):
            if own.may_become_part_of(columns, referred):
                why = f"the foreign key {own.name} of {part} becomes a part of it"
                yield Effect(referred, Lock.ACCESS_EXCLUSIVE, Work.NONE, why)


def _by_index(table: str, constraint: pg.Constraint) -> Iterator[Effect]:
    kind = BUILDS[constraint.contype]
    if not constraint.indexname:
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.BUILD, f"{kind} builds an index")
        return
    yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"{kind} uses an existing index")
    if constraint.contype == pg.CONSTR_PRIMARY:
        yield Effect(
            table, Lock.ACCESS_EXCLUSIVE, Work.SCAN, "PRIMARY KEY looks for NULLs, unless its columns are NOT NULL"
        )


def drop_constraint(table: str, name: str, is_cascade: bool, schema: Schema) -> Iterator[Effect]:
    """A constraint, dropped; for a foreign key, the other table is locked, too."""
    yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.NONE, "a constraint is dropped")
    if not schema.is_known:
        yield Effect(
            f"(the table that {quote(name)} refers to)",
            Lock.ACCESS_EXCLUSIVE,
            Work.NONE,
            "if it is a foreign key: the table that it refers to loses triggers",
        )
    for key in schema.refers_to(table):
        if key.name == name:
            for referred in schema.with_partitions(key.referred):
                yield Effect(referred, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"loses the triggers of {name}")
    if is_cascade:
        for key in schema.foreign_keys_to(table):  # they may need this constraint
            yield Effect(key.table, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"CASCADE may drop the foreign key {key.name}")


def validate(table: str, name: str, schema: Schema) -> Iterator[Effect]:
    """VALIDATE CONSTRAINT."""
    yield Effect(table, Lock.SHARE_UPDATE_EXCLUSIVE, Work.SCAN, "VALIDATE checks every row, and blocks nobody")
    for key in schema.refers_to(table):
        if key.name == name:
            yield Effect(key.referred, Lock.ROW_SHARE, Work.NONE, f"{name} looks rows up there")


def type_constraints(table: str, column: str, schema: Schema) -> Iterator[Effect]:
    """What a change of a column's type does to the constraints on the column: they are recreated."""
    if (table, column) in schema.checked:
        yield Effect(table, Lock.ACCESS_EXCLUSIVE, Work.SCAN, f"a CHECK of {quote(column)} checks every row")
    for key in schema.refers_to(table):
        if column in key.columns:
            yield Effect(key.referred, Lock.ACCESS_EXCLUSIVE, Work.NONE, f"the foreign key {key.name} is recreated")
    for key in schema.foreign_keys_to(table):
        if column in key.referred_columns:
            work = Work.SCAN if key.is_enforced else Work.NONE
            yield Effect(key.table, Lock.ACCESS_EXCLUSIVE, work, f"the foreign key {key.name} is recreated")


def is_no_domain(kind: str, schema: Schema) -> bool:
    """Whether it is known that the type is not a domain with constraints."""
    return kind in TYPES or schema.is_known or kind in schema.domains
