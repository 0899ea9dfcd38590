"""Models made up by Hypothesis: pairs of them, the second being the first after some changes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql as pg

from api.models import Base

LONG = "a_name_that_is_nearly_as_long_as_postgres_allows_it_to_be"
TABLES = ("animals", "order", "Keepers", "per%cent", LONG)
SCHEMAS = (None, None, None, "shop", "Odd schema")
COLUMNS = ("name", "user", "Upper", "two words", 'quo"te', "100%", "co:lon", "it's", "größe", f"{LONG}_or_so")
TEXTS = ("plain", "keeper's", "100%", "%s %(a)s", ":x", "a::b", "\\", "\\:y", '"', "{}", "", "ü", "'quoted'", "a\nb")
LABELS = ("small", "Big", "keeper's", "100%", "two words", ":x")
CHECKS = ("{} <> 'keeper''s'", "{} <> ':x'", "{} NOT LIKE '100%'", "length({}) < 100", "{} ~ '^[^\\:x]'")

TYPES: dict[str, tuple[Callable[[], sa.types.TypeEngine[Any]], tuple[Any, ...]]] = {
    "text": (sa.Text, TEXTS),
    "varchar": (lambda: sa.String(200), TEXTS),
    "boolean": (sa.Boolean, (sa.true(), sa.false(), "true", sa.text("false"))),
    "smallint": (sa.SmallInteger, ("1", "-1", sa.text("7"))),
    "integer": (sa.Integer, ("1", sa.text("-1"), sa.text("1 + 1"))),
    "bigint": (sa.BigInteger, ("1", sa.text("-1"))),
    "numeric": (lambda: sa.Numeric(10, 2), ("1.5", sa.text("-1.5"))),
    "double": (sa.Double, ("1.5", sa.text("'NaN'"))),
    "real": (sa.REAL, ("1.5",)),
    "date": (sa.Date, (sa.func.current_date(), "2020-02-29")),
    "time": (sa.Time, ("12:34:56",)),
    "timestamp": (sa.DateTime, ("2020-02-29 12:34:56", sa.func.localtimestamp())),
    "timestamptz": (
        lambda: sa.DateTime(timezone=True),
        (sa.func.now(), sa.func.clock_timestamp(), sa.text("CURRENT_TIMESTAMP"), sa.text("now() + interval '1 day'")),
    ),
    "interval": (sa.Interval, ("1 day", sa.text("'01:02:03'"))),
    "bytea": (sa.LargeBinary, ("\\x00ff", sa.text("'a'"))),
    "uuid": (sa.Uuid, (sa.func.gen_random_uuid(), "00000000-0000-0000-0000-000000000000")),
    "json": (sa.JSON, ("{}", '{"a": "it\'s 100% :x"}', sa.text("'[]'::json"))),
    "jsonb": (pg.JSONB, ("{}", '{"a": "b:c", "x":[1,2]}', sa.text("'[]'::jsonb"))),
    "text[]": (lambda: pg.ARRAY(sa.Text()), ("{}", sa.text("ARRAY['a', ':x']"), '{"it\'s",b}')),
    "integer[]": (lambda: pg.ARRAY(sa.Integer()), ("{}", "{1,2}", sa.text("'{}'"))),
    "inet": (pg.INET, ("127.0.0.1", "::1")),
    "int4range": (pg.INT4RANGE, ("empty", "[1,2)")),
    "tstzrange": (pg.TSTZRANGE, ("empty",)),
    "tsvector": (pg.TSVECTOR, (sa.text("to_tsvector('english', 'it''s')"),)),
    "bit": (lambda: pg.BIT(3), (sa.text("B'101'"),)),
}
WIDENED = {"varchar": lambda: sa.Text()}


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


INDEXABLE = {
    kind for kind in TYPES if kind not in {"json", "jsonb", "text[]", "integer[]", "tsvector", "int4range", "tstzrange"}
}


@st.composite
def columns(draw: st.DrawFn, name: str, enums: int) -> Column:
    kinds = [*TYPES, *(f"enum{number}{form}" for number in range(enums) for form in ("", " check", " array"))]
    return Column(
        name,
        draw(st.sampled_from(kinds)),
        default=draw(st.none() | st.integers(0, 13)),
        nullable=draw(st.booleans()),
        comment=draw(st.none() | st.sampled_from(TEXTS)),
        check=draw(st.none() | st.integers(0, len(CHECKS) - 1)),
        python_default=draw(st.booleans()),
    )


@st.composite
def keys(draw: st.DrawFn, of: tuple[Column, ...]) -> Key | None:
    usable = [column for column in of if column.kind in INDEXABLE]
    if not usable:
        return None
    chosen = draw(st.lists(st.sampled_from(usable), min_size=1, max_size=2, unique=True))
    forms = ["index", "index", "unique", "unique index", "partial"]
    if all(column.kind in {"text", "varchar"} for column in chosen):
        forms.append("expression")
    return Key(tuple(column.name for column in chosen), draw(st.sampled_from(forms)))


@st.composite
def tables(draw: st.DrawFn, enums: int) -> Table:
    names = draw(st.lists(st.sampled_from(COLUMNS), max_size=4, unique=True))
    made = tuple(draw(columns(name, enums)) for name in names)
    found = draw(st.lists(keys(made), max_size=2))
    return Table(
        draw(st.sampled_from(SCHEMAS)),
        draw(st.sampled_from(TABLES)),
        draw(st.sampled_from(["identity", "serial", "numbered", "by default", "uuid", "two", *(["none"] if made else [])])),
        made,
        _unique_keys(tuple(key for key in found if key)),
        comment=draw(st.none() | st.sampled_from(TEXTS[:5])),
    )


def _unique_keys(found: tuple[Key, ...]) -> tuple[Key, ...]:
    """Of those with the same first column, one: the convention gives them one name."""
    return tuple({(key.columns[0], key.kind == "unique"): key for key in found}.values())


def referrable(found: list[Table]) -> list[Table]:
    return [table for table in found if table.key in {"identity", "serial", "numbered", "by default"}]


@st.composite
def references(draw: st.DrawFn, to: list[Table]) -> Reference:
    table = draw(st.sampled_from(to))
    return Reference(
        (table.schema, table.name),
        nullable=draw(st.booleans()),
        ondelete=draw(st.sampled_from([None, "CASCADE", "SET NULL", "RESTRICT"])),
        use_alter=draw(st.booleans()),
    )


@st.composite
def models(draw: st.DrawFn) -> Models:
    enums = tuple(
        tuple(found)
        for found in draw(st.lists(st.lists(st.sampled_from(LABELS), min_size=1, max_size=3, unique=True), max_size=2))
    )
    found = draw(
        st.lists(tables(len(enums)), min_size=1, max_size=3, unique_by=lambda table: (table.schema, table.name))
    )
    found = [draw(referring(table, found)) for table in found]
    return Models(tuple(found), enums, draw(st.booleans()))


@st.composite
def referring(draw: st.DrawFn, table: Table, found: list[Table]) -> Table:
    to = referrable(found)
    made = draw(st.lists(references(to), max_size=2, unique_by=lambda each: each.table[1][:20])) if to else []
    return replace(table, references=tuple(made))


@st.composite
def changed(draw: st.DrawFn, first: Models) -> Models:
    """The models after one to four changes."""
    second = first
    for _ in range(draw(st.integers(1, 4))):
        second = draw(st.sampled_from(CHANGES))(draw, second)
    return second


def _change_table(draw: st.DrawFn, before: Models, change: Callable[[Table], Table]) -> Models:
    number = draw(st.integers(0, len(before.tables) - 1))
    return replace(
        before,
        tables=tuple(change(table) if each == number else table for each, table in enumerate(before.tables)),
    )


def _change_column(draw: st.DrawFn, before: Models, change: Callable[[Column], Column]) -> Models:
    def in_table(table: Table) -> Table:
        if not table.columns:
            return table
        number = draw(st.integers(0, len(table.columns) - 1))
        return replace(
            table,
            columns=tuple(change(column) if each == number else column for each, column in enumerate(table.columns)),
        )

    return _change_table(draw, before, in_table)


def add_table(draw: st.DrawFn, before: Models) -> Models:
    made = draw(tables(len(before.enums)))
    if any((table.schema, table.name) == (made.schema, made.name) for table in before.tables):
        return before
    made = draw(referring(made, [*before.tables, made]))
    return replace(before, tables=(*before.tables, made))


def add_column(draw: st.DrawFn, before: Models) -> Models:
    def change(table: Table) -> Table:
        free = [name for name in COLUMNS if name not in {column.name for column in table.columns}]
        return replace(table, columns=(*table.columns, draw(columns(draw(st.sampled_from(free)), len(before.enums)))))

    return _change_table(draw, before, change)


def add_reference(draw: st.DrawFn, before: Models) -> Models:
    to = referrable(list(before.tables))

    def change(table: Table) -> Table:
        taken = {reference.table[1][:20] for reference in table.references}
        free = [other for other in to if other.name[:20] not in taken]
        return replace(table, references=(*table.references, draw(references(free)))) if free else table

    return _change_table(draw, before, change)


def change_reference(draw: st.DrawFn, before: Models) -> Models:
    def change(table: Table) -> Table:
        made = [
            replace(reference, ondelete=draw(st.sampled_from([None, "CASCADE", "SET NULL"])), nullable=True)
            for reference in table.references
        ]
        return replace(table, references=tuple(made))

    return _change_table(draw, before, change)


def change_keys(draw: st.DrawFn, before: Models) -> Models:
    def change(table: Table) -> Table:
        made = draw(st.lists(keys(table.columns), max_size=2))
        kept = draw(st.lists(st.sampled_from(table.keys), max_size=2)) if table.keys else []
        return replace(table, keys=_unique_keys((*kept, *(key for key in made if key))))

    return _change_table(draw, before, change)


def change_default(draw: st.DrawFn, before: Models) -> Models:
    return _change_column(
        draw, before, lambda column: replace(column, default=draw(st.none() | st.integers(0, 13)))
    )


def change_check(draw: st.DrawFn, before: Models) -> Models:
    return _change_column(
        draw, before, lambda column: replace(column, check=draw(st.none() | st.integers(0, len(CHECKS) - 1)))
    )


def change_nullable(draw: st.DrawFn, before: Models) -> Models:
    return _change_column(draw, before, lambda column: replace(column, nullable=not column.nullable))


def change_comment(draw: st.DrawFn, before: Models) -> Models:
    comment = st.none() | st.sampled_from(TEXTS)
    with_column = _change_column(draw, before, lambda column: replace(column, comment=draw(comment)))
    return _change_table(draw, with_column, lambda table: replace(table, comment=draw(comment)))


def add_label(draw: st.DrawFn, before: Models) -> Models:
    if not before.enums:
        return before
    number = draw(st.integers(0, len(before.enums) - 1))
    labels = before.enums[number]
    free = [label for label in LABELS if label not in labels]
    place = draw(st.integers(0, len(labels)))
    made = (*labels[:place], draw(st.sampled_from(free)), *labels[place:]) if free else labels
    return replace(before, enums=tuple(made if each == number else old for each, old in enumerate(before.enums)))


def drop_column(draw: st.DrawFn, before: Models) -> Models:
    refused = replace(before, refused=before.refused | {"column"})
    return _change_table(draw, refused, lambda table: replace(table, columns=table.columns[1:]) if len(table.columns) > 1 else table)


def drop_table(_: st.DrawFn, before: Models) -> Models:
    gone = before.tables[0]
    others = [
        replace(table, references=tuple(r for r in table.references if r.table != (gone.schema, gone.name)))
        for table in before.tables[1:]
    ]
    return replace(before, tables=tuple(others), refused=before.refused | {"table"}) if others else before


def change_key(draw: st.DrawFn, before: Models) -> Models:
    numbered = ("identity", "serial", "numbered", "by default")

    def change(table: Table) -> Table:
        return replace(table, key=draw(st.sampled_from(numbered))) if table.key in numbered else table

    return _change_table(draw, before, change)


def change_type(draw: st.DrawFn, before: Models) -> Models:
    refused = replace(before, refused=before.refused | {"type"})
    kinds = st.sampled_from([*TYPES])
    return _change_column(draw, refused, lambda column: replace(column, kind=draw(kinds), default=None))


def drop_label(draw: st.DrawFn, before: Models) -> Models:  # noqa: ARG001
    made = tuple(labels[1:] if len(labels) > 1 else labels for labels in before.enums)
    return replace(before, enums=made, refused=before.refused | {"label"})


CHANGES = (
    add_table, add_column, add_column, add_reference, change_reference, change_keys, change_default, change_check,
    change_nullable, change_comment, change_key, add_label, drop_column, drop_table, change_type, drop_label,
)  # fmt: skip


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Models, Models]:
    first = draw(models())
    return first, draw(changed(first))
