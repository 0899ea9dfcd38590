"""Models as data, which Hypothesis makes up and shows, and as SQLAlchemy has them."""

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from api.models import Base
from tests.faults.model_pairs.types import CHECKS, TYPES


@dataclass(frozen=True)
class Column:
    name: str
    kind: str
    default: int | None = None
    nullable: bool = True
    comment: str | None = None
    check: int | None = None
    python_default: bool = False


@dataclass(frozen=True)
class Key:
    """An index, or a unique constraint."""

    columns: tuple[str, ...]
    kind: str
    name: str | None = None


@dataclass(frozen=True)
class Reference:
    table: tuple[str | None, str]
    nullable: bool = True
    ondelete: str | None = None
    use_alter: bool = False


@dataclass(frozen=True)
class Table:
    schema: str | None
    name: str
    key: str
    columns: tuple[Column, ...] = ()
    keys: tuple[Key, ...] = ()
    references: tuple[Reference, ...] = ()
    comment: str | None = None


@dataclass(frozen=True)
class Models:
    tables: tuple[Table, ...]
    enums: tuple[tuple[str, ...], ...]
    convention: bool
    refused: frozenset[str] = field(default=frozenset())
    """Changes that autogenerate only describes."""

    def metadata(self) -> sa.MetaData:
        """The models, as SQLAlchemy has them."""
        made = sa.MetaData(naming_convention=Base.metadata.naming_convention if self.convention else None)
        for table in self.tables:
            _make(table, made, self)
        return made


def _type(kind: str, models: Models, column: str) -> sa.types.TypeEngine[Any]:
    if kind.startswith("enum"):
        which, _, form = kind.removeprefix("enum").partition(" ")
        labels = models.enums[int(which)]
        if form == "check":
            return sa.Enum(*labels, name=f"kind of {column[:20]}", native_enum=False, create_constraint=True, length=40)
        made = sa.Enum(*labels, name=f"kind {which}")
        return pg.ARRAY(made) if form == "array" else made
    return TYPES[kind][0]()


def _defaults(kind: str, models: Models) -> tuple[Any, ...]:
    if kind.startswith("enum"):
        return () if kind.endswith("array") else models.enums[int(kind.removeprefix("enum").split()[0])][:2]
    return TYPES[kind][1]


def _make(table: Table, metadata: sa.MetaData, models: Models) -> None:
    items: list[Any] = []
    if table.key == "identity":
        items.append(sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True))
    elif table.key == "by default":
        items.append(sa.Column("id", sa.BigInteger, sa.Identity(start=5, increment=2), primary_key=True))
    elif table.key == "numbered":
        numbers = sa.Sequence(f"{table.name[:20]} numbers", schema=table.schema, metadata=metadata)
        items.append(sa.Column("id", sa.BigInteger, numbers, server_default=numbers.next_value(), primary_key=True))
    elif table.key == "serial":
        items.append(sa.Column("id", sa.BigInteger, primary_key=True))
    elif table.key == "uuid":
        items.append(sa.Column("id", sa.Uuid, primary_key=True, server_default=sa.func.gen_random_uuid()))
    elif table.key == "two":
        items += [sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("no", sa.Text, primary_key=True)]
    for column in table.columns:
        defaults = _defaults(column.kind, models)
        default = None if column.default is None or not defaults else defaults[column.default % len(defaults)]
        items.append(
            sa.Column(
                column.name,
                _type(column.kind, models, column.name),
                nullable=column.nullable,
                server_default=default,
                comment=column.comment,
                **({"default": "it's 100% :x"} if column.python_default and column.kind == "text" else {}),
            )
        )
        if column.check is not None and column.kind in {"text", "varchar"}:
            condition = CHECKS[column.check % len(CHECKS)].format(_quoted(column.name))
            name = f"check {column.name[:20]}"
            items.append(sa.CheckConstraint(sa.literal_column(condition), name=name))
    there = {column.name for column in table.columns}
    for reference in table.references:
        schema, name = reference.table
        referred = f"{schema}.{name}" if schema else name
        column_name = f"{name[:20]}_id"
        items += [
            sa.Column(
                column_name,
                sa.BigInteger,
                sa.ForeignKey(
                    f"{referred}.id",
                    ondelete=reference.ondelete,
                    use_alter=reference.use_alter,
                    name=f"fk {table.name[:20]} {name[:20]}" if not models.convention else None,
                ),
                nullable=reference.nullable,
            )
        ]
    for number, key in enumerate(table.keys):
        columns = [name for name in key.columns if name in there]
        if not columns:
            continue
        name: Any = key.name or (None if models.convention else f"{key.kind} {table.name[:20]} {number}")
        if key.kind == "unique":
            items.append(sa.UniqueConstraint(*columns, name=name))
        elif key.kind == "expression":
            text = [f"lower({_quoted(each)}::text)" for each in columns]
            items.append(sa.Index(f"ix {number} {table.name}"[:63], *map(sa.literal_column, text)))
        else:
            items.append(
                sa.Index(
                    name,
                    *columns,
                    unique=key.kind == "unique index",
                    postgresql_where=sa.text(f"{_quoted(columns[0])} IS NOT NULL") if key.kind == "partial" else None,
                )
            )
    sa.Table(table.name, metadata, *items, schema=table.schema, comment=table.comment)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
