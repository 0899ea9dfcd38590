"""Reads tables of the models: what they hold, as SQLAlchemy would create it."""

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Computed,
    Constraint,
    Dialect,
    Enum,
    ForeignKeyConstraint,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    TextClause,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.schema import CreateIndex, DefaultClause
from sqlalchemy.types import NullType, TypeEngine

from alembic_online.drift.wanted import WantedColumn, WantedPart, WantedTable
from alembic_online.expressions import stored

_COLLATE = re.compile(r' COLLATE "?([^"]+)"?$')
_NAME = re.compile(r'^CONSTRAINT (?:"(?:[^"]|"")*"|\S+) ')
KINDS: dict[type[Constraint], str] = {
    PrimaryKeyConstraint: "primary key",
    UniqueConstraint: "unique constraint",
    ForeignKeyConstraint: "foreign key",
    CheckConstraint: "check constraint",
    ExcludeConstraint: "exclusion constraint",
}


class Reader:
    """Reads tables of the models; `schema` is the one of those that name none."""

    def __init__(self, dialect: Any, schema: str) -> None:  # Any: its compiler takes no statement, too
        self.dialect = dialect
        self.schema = schema
        self.compiler: Any = self.dialect.ddl_compiler(self.dialect, None)
        self._types: dict[Any, tuple[str | None, list[Any]]] = {}

    def table(self, table: Table) -> WantedTable:
        """All that a table holds; what can't be read does not hide the rest."""
        options = table.dialect_options["postgresql"]
        found = WantedTable(
            self.qualified(table.schema, table.name),
            self.dialect.identifier_preparer.format_table(table),
            table.comment,
            bool(options["partition_by"]),
        )
        for column in table.columns:
            if not column.system:
                found.column_names.add(column.name)
                self._add(found, f"column {column.name}", column, self._column)
        of_columns = [constraint for column in table.columns for constraint in column.constraints]
        for constraint in (*table.constraints, *of_columns):
            self._add(found, f"constraint {constraint.name or ''}".rstrip(), constraint, self._constraint)
        for index in table.indexes:
            self._add(found, f"index {index.name}", index, self._index)
        # SQLAlchemy adds an enum's check to its table once more for each copy of the column.
        found.parts[:] = dict.fromkeys(found.parts)
        return found

    def qualified(self, schema: str | None, name: str) -> str:
        """A name with its schema."""
        return f"{schema or self.schema}.{name}"

    def sql(self, expression: Any) -> str:
        """An expression as SQL. The text of `text()` is taken as it is: a colon in it is no parameter."""
        if isinstance(expression, str):
            return "'{}'".format(expression.replace("'", "''"))
        if isinstance(expression, TextClause):
            return expression.text.replace("\\:", ":")
        compiled = expression.compile(
            dialect=self.dialect, compile_kwargs={"literal_binds": True, "include_table": False}
        )
        return str(compiled)

    def _add(self, found: WantedTable, what: str, thing: Any, read: Any) -> None:
        try:
            read(found, thing)
        except Exception as error:  # noqa: BLE001 - whatever a type or an expression of the models raises
            found.unknown[what] = " ".join(str(error).split())

    def _column(self, found: WantedTable, column: Column[Any]) -> None:
        default, written = column.server_default, None
        if isinstance(default, DefaultClause):
            written = stored(self.sql(default.arg))
        computed = default if isinstance(default, Computed) else None
        identity = default if isinstance(default, Identity) else None
        serial = column.table.autoincrement_column is column and default is None
        type_, enums = self._type(column.type)
        collation = _COLLATE.search(type_) if type_ and "COLLATE" in type_ else None
        for enum in enums:
            if enum.native_enum and enum.name:
                found.enums[self.qualified(enum.schema, enum.name)] = tuple(enum.enums)
        if isinstance(column.default, Sequence):
            found.sequences.append(self.qualified(column.default.schema, column.default.name))
        found.columns.append(
            WantedColumn(
                column.name,
                type_[: collation.start()] if type_ and collation else type_,
                collation[1] if collation else None,
                bool(column.nullable) and identity is None,
                column.comment,
                written,
                self.sql(computed.sqltext) if computed is not None else None,
                computed.persisted if computed is not None else None,
                identity,
                has_own_default=serial or (default is not None and written is None and not (computed or identity)),
            )
        )

    def _type(self, type_: TypeEngine[Any]) -> tuple[str | None, list[Any]]:
        """The type as in DDL, None if it is not known, and the enums in it. Most of many columns are of a few types."""
        try:
            key = (type(type_), *type_.__dict__.items())
            known = self._types.get(key)
        except TypeError:  # an argument that can't be hashed
            key, known = (), None
        if known is None:
            written = None if isinstance(type_, NullType) else type_.compile(dialect=self.dialect)
            known = (written, list(_enums(type_, self.dialect)))
            if key:
                self._types[key] = known
        return known

    def _constraint(self, found: WantedTable, constraint: Constraint) -> None:
        kind = next((kind for type_, kind in KINDS.items() if isinstance(constraint, type_)), None)
        if kind is None or (isinstance(constraint, PrimaryKeyConstraint) and not constraint.columns):
            return
        if not constraint._should_create_for_compiler(self.compiler):  # noqa: SLF001 - a Boolean's check is for others
            return
        if isinstance(constraint, CheckConstraint):
            definition = f"CHECK ({self.sql(constraint.sqltext)})"
        elif isinstance(constraint, PrimaryKeyConstraint):
            definition = f"PRIMARY KEY ({', '.join(column.name for column in constraint.columns)})"
        elif isinstance(constraint, ForeignKeyConstraint):
            definition = self._foreign_key(constraint)
        else:
            definition = _NAME.sub("", self.compiler.process(constraint))
        found.parts.append(WantedPart(kind, self._name(constraint), definition))

    def _foreign_key(self, constraint: ForeignKeyConstraint) -> str:
        """With the schema of the table that it refers to."""
        target = constraint.referred_table
        there = ", ".join(element.column.name for element in constraint.elements)
        here = ", ".join(column.name for column in constraint.columns)
        options = [
            f"MATCH {constraint.match}" if constraint.match else "",
            f"ON UPDATE {constraint.onupdate}" if constraint.onupdate else "",
            f"ON DELETE {constraint.ondelete}" if constraint.ondelete else "",
            "DEFERRABLE" if constraint.deferrable else "",
            f"INITIALLY {constraint.initially}" if constraint.initially else "",
        ]
        # Keywords; not the columns of SET NULL (...).
        written = re.sub(
            r"\(.*?\)|[^(]+",
            lambda each: each[0] if each[0][0] == "(" else each[0].upper(),
            " ".join(filter(None, options)),
        )
        return (
            f"FOREIGN KEY ({here}) REFERENCES {self.qualified(target.schema, target.name)}({there}) {written}".rstrip()
        )

    def _index(self, found: WantedTable, index: Index) -> None:
        found.parts.append(self.index(index, found.source))

    def index(self, index: Index, source: str) -> WantedPart:
        """An index of the table that is `source` in SQL."""
        if all(isinstance(each, Column) for each in index.expressions) and not index.dialect_kwargs:
            definition = f"({', '.join(column.name for column in index.columns)})"  # most are, and this is quicker
        else:
            written = str(CreateIndex(index).compile(dialect=self.dialect))
            definition = written.partition(f" ON {source} ")[2].removeprefix("USING ")
        method = "btree " if definition.startswith("(") else ""
        unique = "UNIQUE " if index.unique else ""
        return WantedPart("index", self._name(index), unique + method + definition)

    def _name(self, thing: Constraint | Index) -> str | None:
        if thing.name is None:
            return None
        name: str | None = self.dialect.identifier_preparer.format_constraint(thing, _alembic_quote=False)
        return name


def _enums(type_: TypeEngine[Any], dialect: Dialect) -> Iterator[Any]:
    found: Any = type_.dialect_impl(dialect)
    while isinstance(found, TypeDecorator):
        found = found.impl_instance.dialect_impl(dialect)
    if isinstance(found, ARRAY):
        yield from _enums(found.item_type, dialect)
    elif isinstance(found, Enum):
        yield found
