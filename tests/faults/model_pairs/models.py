"""Models as data, which Hypothesis makes up and shows, and as SQLAlchemy has them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from api.models import Base
from tests.faults.model_pairs.types import CHECKS, EXPRESSIONS, KEPT, TYPES


@dataclass(frozen=True)
class Column:
    name: str
    kind: str
    default: int | None = None
    nullable: bool = True
    comment: str | None = None
    check: int | None = None
    python_default: bool = False
    generated: str | None = None
    """Whether it is computed from the key: "STORED" or "VIRTUAL"; `default` chooses the expression."""


@dataclass(frozen=True)
class Key:
    """An index, or a unique or an exclusion constraint."""

    columns: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class Reference:
    table: tuple[str | None, str]
    nullable: bool = True
    ondelete: str | None = None
    use_alter: bool = False
    columns: tuple[str, ...] = ("id",)
    timing: str | None = None
    """If it is deferrable, what it is initially: DEFERRED or IMMEDIATE."""


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
    naming: str
    """Whether constraints are named by the "convention", one by one ("names"), or by Postgres ("unnamed")."""
    schema: str | None = None
    """The schema of tables that name none."""
    refused: frozenset[str] = field(default=frozenset())
    """Changes that autogenerate only describes."""

    def metadata(self) -> sa.MetaData:
        """The models, as SQLAlchemy has them."""
        convention = Base.metadata.naming_convention if self.naming == "convention" else None
        made = sa.MetaData(naming_convention=convention, schema=self.schema)
        for table in self.tables:
            _make(table, made, self)
        return made

    def named(self, name: str) -> str | None:
        """The name, if constraints are named one by one."""
        return name if self.naming == "names" else None


def _type(kind: str, models: Models, column: str) -> sa.types.TypeEngine[Any]:
    if kind.startswith("enum"):
        which, _, form = kind.removeprefix("enum").partition(" ")
        labels = models.enums[int(which)]
        if form == "check":
            return sa.Enum(*labels, name=f"kind of {column[:20]}", native_enum=False, create_constraint=True, length=40)
        made = sa.Enum(*labels, name=f"kind {which}")
        return pg.ARRAY(made) if form == "array" else made
    return TYPES[kind][0]()


def defaults(kind: str) -> tuple[Any, ...]:
    """The defaults that a column of this kind may have; none for some."""
    if kind.startswith("enum"):
        return () if kind.endswith("array") else (KEPT[int(kind.removeprefix("enum").split()[0])],)
    return TYPES[kind][1]


def _make(table: Table, metadata: sa.MetaData, models: Models) -> None:
    items = [
        *_key(table, metadata),
        *(item for column in table.columns for item in _column(column, models)),
        *(item for reference in table.references for item in _reference(table, reference, models)),
        *(item for number, key in enumerate(table.keys) for item in _index(table, number, key, models)),
    ]
    sa.Table(table.name, metadata, *items, schema=table.schema, comment=table.comment)


def _key(table: Table, metadata: sa.MetaData) -> list[Any]:
    numbers = sa.Sequence(f"{table.name[:20]} numbers", schema=table.schema)
    key: dict[str, list[Any]] = {
        "identity": [sa.BigInteger, sa.Identity(always=True)],
        "by default": [sa.BigInteger, sa.Identity(start=5, increment=2)],
        "numbered": [sa.BigInteger, numbers, sa.DefaultClause(numbers.next_value())],
        "serial": [sa.BigInteger],
        "uuid": [sa.Uuid, sa.DefaultClause(sa.func.gen_random_uuid())],
        "two": [sa.BigInteger],
    }
    if table.key == "numbered":
        numbers._set_metadata(metadata)  # noqa: SLF001 - as a column in the models does
    made = [sa.Column("id", *key[table.key], primary_key=True)] if table.key in key else []
    return [*made, sa.Column("no", sa.Text, primary_key=True)] if table.key == "two" else made


def _column(column: Column, models: Models) -> Iterator[Any]:
    known = defaults(column.kind)
    default = None if column.default is None or not known else known[column.default % len(known)]
    if column.generated:
        expression = EXPRESSIONS[(column.default or 0) % len(EXPRESSIONS)].format("id")
        default = sa.Computed(expression, persisted=column.generated == "STORED")
    yield sa.Column(
        column.name,
        _type(column.kind, models, column.name),
        nullable=column.nullable,
        server_default=default,
        comment=column.comment,
        default="it's 100% :x" if column.python_default and column.kind == "text" and not column.generated else None,
    )
    if column.check is not None and column.kind in {"text", "varchar"}:
        condition = CHECKS[column.check % len(CHECKS)].format(_quoted(column.name))
        name = None if models.naming == "unnamed" else f"check {column.name[:20]}"
        yield sa.CheckConstraint(sa.literal_column(condition), name=name)


def _reference(table: Table, reference: Reference, models: Models) -> Iterator[Any]:
    schema, name = reference.table
    there = f"{schema or models.schema or ''}.{name}".lstrip(".")
    columns = [f"{name[:20]}_{column}" for column in reference.columns]
    options: dict[str, Any] = {
        "ondelete": reference.ondelete,
        "use_alter": reference.use_alter and models.naming != "unnamed",  # SQLAlchemy wants a name then
        "name": models.named(f"fk {table.name[:20]} {name[:20]}"),
        "deferrable": True if reference.timing else None,
        "initially": reference.timing,
    }
    types = {"id": sa.BigInteger, "no": sa.Text}
    for column, referred in zip(columns, reference.columns, strict=True):
        yield sa.Column(column, types[referred], nullable=reference.nullable)
    yield sa.ForeignKeyConstraint(columns, [f"{there}.{referred}" for referred in reference.columns], **options)


def _index(table: Table, number: int, key: Key, models: Models) -> Iterator[Any]:
    there = {column.name for column in table.columns}
    columns = [name for name in key.columns if name in there]
    if not columns:
        return
    name: Any = models.named(f"{key.kind} {table.name[:20]} {number}")
    if key.kind == "unique":
        yield sa.UniqueConstraint(*columns, name=name)
    elif key.kind == "exclusion":
        yield pg.ExcludeConstraint((columns[0], "&&"), name=name)
    elif key.kind == "expression":
        parts: list[Any] = [sa.literal_column(f"lower({_quoted(each)}::text)") for each in columns]
        yield sa.Index(f"ix {number} {table.name}"[:63], *parts)
    else:
        where = sa.text(f"{_quoted(columns[0])} IS NOT NULL") if key.kind == "partial" else None
        yield sa.Index(name, *columns, unique=key.kind == "unique index", postgresql_where=where)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
