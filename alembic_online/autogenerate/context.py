"""What is known about a change as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGInspector
from sqlalchemy.dialects.postgresql.named_types import CreateDomainType, CreateEnumType, DropDomainType, DropEnumType
from sqlalchemy.types import TypeEngine

from alembic_online.autogenerate.step import Execute, Place, Step
from alembic_online.compare.enums import enum_of
from alembic_online.expressions import DIALECT


@dataclass
class ChangeContext:
    """A change of the models. `release` is the first one that has it, `new` are the tables that it creates, `created`
    those of them that are created so far.
    """

    database: PGInspector
    models: sa.MetaData
    release: str
    new: set[tuple[str | None, str]] = field(default_factory=set)
    created: set[tuple[str | None, str]] = field(default_factory=set)
    made: set[tuple[str | None, str]] = field(default_factory=set)
    """Enums and domains that it creates, or has seen."""

    @property
    def connection(self) -> sa.Connection:
        """The connection to the database."""
        assert isinstance(self.database.bind, sa.Connection)
        return self.database.bind

    def within(self, schema: str | None, name: str) -> tuple[str | None, str]:
        """The schema and the name of something; None for the connection's own schema, whether it is named or not."""
        return None if schema == self.database.default_schema_name else schema, name

    def model_table(self, name: str, schema: str | None) -> sa.Table:
        """The table, as the models have it."""
        wanted = self.within(schema, name)
        return next(found for found in self.models.tables.values() if self.of(found) == wanted)

    def model(self, table: str, schema: str | None, column: str) -> sa.Column[Any]:
        """The column, as the models have it."""
        return next(found for found in self.model_table(table, schema).c if found.name == column)

    def of(self, table: sa.Table) -> tuple[str | None, str]:
        """The schema and the name of a table."""
        return self.within(table.schema, table.name)

    def table(self, operation: ops.CreateTableOp | ops.DropTableOp | ops.ModifyTableOps) -> tuple[str | None, str]:
        """The schema and the name of an operation's table."""
        return self.within(operation.schema, operation.table_name)

    def key(self, table: str, schema: str | None) -> tuple[str, ...]:
        """The columns of the table's primary key, as the database has it."""
        return tuple(self.database.get_pk_constraint(table, schema=schema)["constrained_columns"])

    def types_of(self, *columns: sa.Column[Any]) -> Iterator[Step]:
        """Create the enums and domains of these columns that don't exist yet: none that is rendered creates itself."""
        database, there = self.database, self.made
        for known in (*database.get_enums(schema="*"), *database.get_domains(schema="*")):
            there.add(self.within(known["schema"], known["name"]))
        for type_ in (found for column in columns if (found := _made_by_name(column.type))):
            if type_.name and (key := self.within(type_.schema, type_.name)) not in there:
                there.add(key)
                is_enum = isinstance(type_, postgresql.ENUM)
                ddl = (CreateEnumType, DropEnumType) if is_enum else (CreateDomainType, DropDomainType)
                create, drop = (str(statement(type_).compile(dialect=DIALECT)) for statement in ddl)
                yield Step(Place.TOGETHER, f"type {type_.name}", Execute(create, drop))


def _made_by_name(type_: TypeEngine[Any]) -> postgresql.ENUM | postgresql.DOMAIN | None:
    """The enum or the domain that this is, or that it is an array of."""
    inner = type_.item_type if isinstance(type_, sa.ARRAY) else type_
    if isinstance(inner, postgresql.DOMAIN):
        return inner
    enum = enum_of(inner)
    return None if enum is None else postgresql.ENUM(*enum.enums, name=enum.name, schema=enum.schema)
