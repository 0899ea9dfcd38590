"""What the operations share: statements in transactions of their own, and the look at what exists already."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from alembic.ddl.impl import DefaultImpl
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, Constraint, ForeignKeyConstraint, Index, MetaData, Table
from sqlalchemy.exc import IntegrityError

from alembic_online.operations import existing
from alembic_online.postgres import NAME_BYTES, fit

current_operation: ContextVar[str | None] = ContextVar("current_operation", default=None)
"""The operation whose statements are being executed or written."""

POSTGRES_18 = (18,)
ACTIONS = {"NO ACTION": "a", "RESTRICT": "r", "CASCADE": "c", "SET NULL": "n", "SET DEFAULT": "d"}
KINDS = {"c": "check", "f": "foreign key", "u": "unique constraint", "p": "primary key", "n": "not null"}


class ExistsDifferently(Exception):
    """Something else has the name of what a revision is to create."""

    def __init__(self, what: str, table: str) -> None:
        super().__init__(f"{what} of {table} exists, but differs: give yours another name, or drop the existing one")


class RowsInTheWay(Exception):
    """Rows violate a constraint or a unique index."""

    def __init__(self, name: str, table: str, error: IntegrityError) -> None:
        super().__init__(
            f"rows of {table} violate {name}, which is dropped again: correct them, for example by a backfill in a "
            f"revision before this one, then run this again ({error.orig})"
        )


@contextmanager
def steps_of(operations: Operations, name: str) -> Iterator["Steps"]:
    """In the block, each statement is a transaction of its own."""
    context = operations.migration_context
    token = current_operation.set(name)
    try:
        with context.autocommit_block():
            yield Steps(context)
    finally:
        current_operation.reset(token)


class Steps:
    """The statements of one operation, executed or, with `--sql`, written."""

    def __init__(self, context: MigrationContext) -> None:
        self.context = context
        self.preparer = context.impl.dialect.identifier_preparer

    @property
    def connection(self) -> Connection | None:
        """The connection on which to read the catalogs; None with `--sql`."""
        return None if self.context.as_sql else self.context.connection

    @property
    def is_postgres_18(self) -> bool:
        """Whether the server is known to be Postgres 18 or later."""
        version = getattr(self.context.impl.dialect, "server_version_info", None)
        return version is not None and version >= POSTGRES_18

    def name_of(self, constraint: Constraint) -> str:
        """The constraint's name as SQL, by the models' naming convention."""
        name = self.preparer.format_constraint(constraint)
        assert name is not None
        return name

    def table(self, name: str, schema: str | None) -> str:
        """The table as SQL."""
        return self.preparer.format_table(schema_table(name, schema))

    def find_constraint(self, table: str, name: str, referred: str | None = None) -> existing.Constraint | None:
        """The constraint `name`; None if there is none, or with `--sql`."""
        return None if self.connection is None else existing.find_constraint(self.connection, table, name, referred)

    def find_index(self, table: str, name: str) -> existing.Index | None:
        """The index `name`; None if there is none, or with `--sql`."""
        return None if self.connection is None else existing.find_index(self.connection, table, name)

    def find_not_null(self, table: str, column: str) -> existing.NotNull | None:
        """Whether `column` may be NULL; None if there is no such column, or with `--sql`."""
        return None if self.connection is None else existing.find_not_null(self.connection, table, column)

    @property
    def impl(self) -> DefaultImpl:
        """What executes Alembic's own statements, or writes them; it is checked that the migration lock is held."""
        if self.connection is not None and (lock := self.context.opts.get("lock")):
            lock.require(self.connection)
        return self.context.impl

    def execute(self, statement: str) -> None:
        """Execute a statement, or write it."""
        impl = self.impl
        if self.connection is None:
            impl.static_output(f"{statement};")
        else:
            self.connection.exec_driver_sql(statement)

    def add_constraint(self, constraint: Constraint, table: str, kind: str, referred: str | None = None) -> None:
        """Add it NOT VALID, then validate it: a scan that blocks neither reads nor writes."""
        name = self.name_of(constraint)
        found = self.find_constraint(table, name, referred)
        if found is None:
            constraint.dialect_options["postgresql"]["not_valid"] = True
            self.impl.add_constraint(constraint)
        elif found.kind != kind or (isinstance(constraint, ForeignKeyConstraint) and not _refers_so(found, constraint)):
            raise ExistsDifferently(f"the {KINDS.get(found.kind, 'constraint')} {name}", table)
        if found is None or not found.is_validated:
            self.validate(table, name)

    def validate(self, table: str, name: str) -> None:
        """Check the existing rows; if one violates the constraint, drop it and raise RowsInTheWay."""
        try:
            self.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
        except IntegrityError as error:
            self.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            raise RowsInTheWay(name, table, error) from error

    def build_index(self, index: Index, table: str) -> None:
        """Build it while the table is in use. What an interrupted build left is dropped first, by runs/online.py."""
        name = self.preparer.format_index(index)
        found = self.find_index(table, name)
        if found and not _is_same(found, index):
            raise ExistsDifferently(f"the index {name}", table)
        if found and found.is_valid:
            return
        index.dialect_options["postgresql"]["concurrently"] = True
        try:
            self.impl.create_index(index, if_not_exists=True)
        except IntegrityError as error:
            # The invalid index would go on refusing some writes, and slow all of them down.
            self.impl.drop_index(index)
            raise RowsInTheWay(name, table, error) from error


def short_name(name: str) -> str:
    """Shorten a composed name by a hash: Postgres would truncate it, perhaps to the same as another one."""
    encoded = name.encode()
    return name if len(encoded) <= NAME_BYTES else fit(name, f"_{hashlib.sha256(encoded).hexdigest()[:8]}")


def schema_table(name: str, schema_name: str | None) -> Table:
    """A table without columns, only to format its name."""
    return Table(name, MetaData(), schema=schema_name)


def _refers_so(found: existing.Constraint, wanted: ForeignKeyConstraint) -> bool:
    columns = [column.name for column in wanted.columns], [element.column.name for element in wanted.elements]
    actions = _letter(wanted.onupdate), _letter(wanted.ondelete)
    return (
        bool(found.refers)
        and (found.columns, found.referred_columns) == columns
        and (found.on_update, found.on_delete) == actions
    )


def _letter(action: str | None) -> str:
    """Postgres's letter for an ON UPDATE or ON DELETE action; columns may follow SET NULL."""
    said = (action or "NO ACTION").upper()
    return next(letter for name, letter in ACTIONS.items() if said.startswith(name))


def _is_same(found: existing.Index, wanted: Index) -> bool:
    parts = list(wanted.expressions)
    if len(parts) != len(found.columns):
        return False
    # Whether a part that is SQL, such as "name DESC", is a column is not known here: it counts as the same.
    columns = [
        part.name if isinstance(part, Column) else there for part, there in zip(parts, found.columns, strict=True)
    ]
    is_partial = wanted.dialect_options["postgresql"]["where"] is not None
    return found == existing.Index(found.is_valid, bool(wanted.unique), is_partial, columns, is_on_table=True)
