"""Changes of models that projects make: the revisions that are written pass the lint, run, and are taken back.

And what is written as a comment, for people to do, can be pasted: once it is applied, it is not written again.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from alembic_online.errors import ConfigurationError
from api.models import Base
from tests.faults.model_pairs.bench import Bench
from tests.faults.model_pairs.catalog import difference
from tests.faults.model_pairs.fixtures import bench, own_bench, own_database
from tests.rounds import rounds

__all__ = ["bench", "own_bench", "own_database"]  # fixtures

LONG = "a_name_that_is_so_long_that_no_other_one_fits_beside_it_in_63"
Items = Callable[[], list[Any]]
"""Columns, constraints and indexes of the table `t`, or whole other tables."""


def models(items: Items, name: str = "t", schema: str | None = None, *, convention: bool = True) -> sa.MetaData:
    """Models with one table, and with others if `items` makes some."""
    made = sa.MetaData(naming_convention=Base.metadata.naming_convention if convention else None)
    parts = items()
    own = [part for part in parts if not isinstance(part, sa.Table | tuple)]
    key = [] if any(isinstance(part, sa.Column) and part.name == "id" for part in own) else [ID()]
    sa.Table(name, made, *key, *own, schema=schema)
    for other, *others in (part for part in parts if isinstance(part, tuple)):
        sa.Table(other, made, ID(), *others)
    return made


def ID() -> sa.Column[Any]:  # noqa: N802 - as a type
    return sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True)


def column(type_: Any, *options: Any, **more: Any) -> Items:
    return lambda: [sa.Column("c", type_, *options, **more)]


def nothing() -> list[Any]:
    return []


def keyless() -> list[Any]:
    return [sa.Column("id", sa.BigInteger, sa.Identity())]


def refers(ondelete: str | None) -> Items:
    return lambda: [sa.Column("c", sa.BigInteger, sa.ForeignKey(f"{LONG}.id", ondelete=ondelete)), (LONG,)]


def mutual(*, use_alter: bool) -> Items:
    return lambda: [
        sa.Column("other_id", sa.BigInteger, sa.ForeignKey("other.id", use_alter=use_alter)),
        ("other", sa.Column("t_id", sa.BigInteger, sa.ForeignKey("t.id"))),
    ]


def numbered(schema: str | None = None) -> list[Any]:
    sequence = sa.Sequence("numbers", schema=schema)
    return [sa.Column("c", sa.BigInteger, sequence, server_default=sequence.next_value())]


def path_of_json() -> list[Any]:
    made = sa.Column("c", pg.JSONB)
    return [made, sa.Index("ix_c", made["a"]["b"].astext, postgresql_where=made["x"].astext == "1")]


def full_text() -> list[Any]:
    made = sa.Column("c", sa.Text)
    return [made, sa.Index("ix_c", sa.func.to_tsvector("english", made), postgresql_using="gin")]


def indexed(**options: Any) -> Items:
    return lambda: [*column(sa.Text)(), sa.Index("ix_c", "c", **options)]


class Short(sa.types.TypeDecorator[str]):
    """A type of the app's own."""

    impl = sa.String(20)
    cache_ok = True


class Described(sa.types.TypeDecorator[object]):
    """One that is stored otherwise by each kind of database."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[object]:
        return dialect.type_descriptor(pg.JSONB())


class Point(sa.types.UserDefinedType[object]):
    """One that SQLAlchemy does not have, like those of extensions."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "point"


class Box(Point):
    """Another one."""

    def get_col_spec(self, **_: object) -> str:
        return "BOX"


ENUM = ["small", "big"]
TEXTS = ["keeper's", "'quoted'", "100%", "%(a)s", ":x", "\\:x", "\\", 'a"b', "a::b:c", ""]
CHANGES: dict[str, tuple[Items, Items]] = {
    "a long name of an index": (column(sa.Text), lambda: [*column(sa.Text)(), sa.Index(None, "c", "id")]),
    "a condition of an index": (
        lambda: [*column(sa.Text)(), sa.Index("ix_c", "c", postgresql_where=sa.text("c <> ':x'"))],
        lambda: [*column(sa.Text)(), sa.Index("ix_c", "c", postgresql_where=sa.text("c IN ('100%', ':x')"))],
    ),
    "a condition of an index that goes": (
        lambda: [*column(sa.Text)(), sa.Index("ix_c", "c", postgresql_where=sa.text("c <> 'a'"))],
        lambda: [*column(sa.Text)(), sa.Index("ix_c", "c")],
    ),
    "a long name of a foreign key that does something else": (refers(None), refers("SET NULL")),
    "an index on a path of JSON": (column(pg.JSONB), path_of_json),
    "an index for full text": (column(sa.Text), full_text),
    "an index that includes more": (indexed(), indexed(postgresql_include=["id"])),
    "an index of another method": (indexed(), indexed(postgresql_using="brin")),
    "an index of another operator class": (indexed(), indexed(postgresql_ops={"c": "text_pattern_ops"})),
    "an index of an operator class inside its text": (
        column(pg.JSONB),
        lambda: [
            *column(pg.JSONB)(), sa.Index("ix_c", sa.text("(c->'a') jsonb_path_ops"), postgresql_using="gin")
        ],
    ),
    "an interval whose type changes": (column(pg.INTERVAL), column(sa.Interval(second_precision=3))),
    "a type of the app": (nothing, column(Short, server_default="it's", nullable=False)),
    "a type of the app for each database": (nothing, column(Described, server_default="{}")),
    "arrays of a type of the app": (nothing, column(pg.ARRAY(Described))),
    "a type that SQLAlchemy lacks": (nothing, column(Point, server_default="(1,2)", nullable=False)),
    "arrays of a type that SQLAlchemy lacks": (nothing, column(pg.ARRAY(Point()))),
    "a type that SQLAlchemy lacks, and the type changes": (column(Point), column(Box)),
    "domains in two tables": (
        nothing,
        lambda: [
            sa.Column("c", pg.DOMAIN("amount", sa.Numeric(10, 2), default="0", not_null=True, check="VALUE >= 0")),
            ("other", sa.Column("c", pg.ARRAY(pg.DOMAIN("a name", sa.Text)))),
        ],
    ),
    "another name of a type": (nothing, column(sa.Float(24))),
    "another collation, by which the type changes": (column(sa.String(50)), column(sa.String(50, collation="C"))),
    "the same collation, of a longer text": (
        column(sa.String(50, collation="C")), column(sa.String(100, collation="C"))
    ),
    "no collation any more, by which the type changes": (column(sa.String(50, collation="C")), column(sa.String(50))),
    "a default of NULL": (column(sa.Text), column(sa.Text, server_default=sa.null())),
    "a unique constraint that is checked later": (
        lambda: [*column(sa.Text)(), sa.UniqueConstraint("c", name="uq_c")],
        lambda: [*column(sa.Text)(), sa.UniqueConstraint("c", name="uq_c", deferrable=True, initially="DEFERRED")],
    ),
    "a foreign key that sets one column to NULL": (
        lambda: [("other", sa.Column("c", sa.BigInteger), sa.UniqueConstraint("id", "c"))],
        lambda: [
            sa.Column("o", sa.BigInteger), sa.Column("c", sa.BigInteger),
            sa.ForeignKeyConstraint(["o", "c"], ["other.id", "other.c"], ondelete="SET NULL (c)", match="FULL"),
            ("other", sa.Column("c", sa.BigInteger), sa.UniqueConstraint("id", "c")),
        ],
    ),
    "tables that refer to each other": (nothing, mutual(use_alter=False)),
    "tables that refer to each other by ALTER TABLE": (nothing, mutual(use_alter=True)),
    "an enum that is a check": (
        nothing, column(sa.Enum(*ENUM, name="size", native_enum=False, create_constraint=True))
    ),
    "an enum that is a check with another value": (
        column(sa.Enum(*ENUM, name="size", native_enum=False, create_constraint=True, length=20)),
        column(sa.Enum(*ENUM, "it's", name="size", native_enum=False, create_constraint=True, length=20)),
    ),
    "values of an enum": (
        column(sa.Enum(*ENUM, name="size")),
        column(sa.Enum("tiny", "small", "not quite", "big", "100%", "a:b :x", name="size"), server_default="a:b :x"),
    ),
    "values of an enum in arrays": (
        column(pg.ARRAY(sa.Enum(*ENUM, name="size"))), column(pg.ARRAY(sa.Enum(*ENUM, "it's", name="size")))
    ),
    "a sequence": (nothing, numbered),
    "a sequence in a schema without tables": (nothing, lambda: numbered("Odd schema")),
    "an enum in a schema without tables": (nothing, column(sa.Enum(*ENUM, name="size", schema="Odd schema"))),
    "an enum of arrays in a schema without tables": (
        nothing, column(pg.ARRAY(sa.Enum(*ENUM, name="size", schema="Odd schema")))
    ),
    "a check": (column(sa.Text), lambda: [*column(sa.Text)(), sa.CheckConstraint("c <> '100%'", name="percent")]),
    "a check that is another": (
        lambda: [*column(sa.Text)(), sa.CheckConstraint("c <> '100%'", name="percent")],
        lambda: [*column(sa.Text)(), sa.CheckConstraint("c <> '99%' AND c NOT LIKE '%s'", name="percent")],
    ),
    "a check that goes": (lambda: [*column(sa.Text)(), sa.CheckConstraint("c <> ''", name="some")], column(sa.Text)),
    "a check of a column": (nothing, column(sa.Integer, sa.CheckConstraint("c > 0", name="positive"))),
    "an exclusion that goes": (
        lambda: [*column(pg.INT4RANGE)(), pg.ExcludeConstraint(("c", "&&"), name="apart")], column(pg.INT4RANGE)
    ),
    "defaults of JSON": (column(sa.JSON, server_default="{}"), column(sa.JSON, server_default='{"a": ":x 100%"}')),
    "a default that is the time": (
        column(sa.DateTime(True)), column(sa.DateTime(True), server_default=sa.text("clock_timestamp()"))
    ),
    "a default that differs from row to row, and no key": (
        keyless, lambda: [*keyless(), sa.Column("c", sa.Uuid, server_default=sa.func.gen_random_uuid())]
    ),
    "NOT NULL of a virtual column": (
        column(sa.Text, sa.Computed("'it''s'", persisted=False)),
        column(sa.Text, sa.Computed("'it''s'", persisted=False), nullable=False),
    ),
    "names that nobody has given": (
        lambda: [*column(sa.Text)(), ("other",)],
        lambda: [
            sa.Column("c", sa.Text, sa.CheckConstraint("c <> ''"), unique=True),
            sa.Column("other_id", sa.BigInteger, sa.ForeignKey("other.id")), ("other",),
        ],
    ),
    "a default that goes": (column(sa.Text, server_default="it's"), column(sa.Text)),
    "a check of a column whose type changes": (
        column(pg.JSONB), lambda: [*column(sa.String(20))(), sa.CheckConstraint("c <> ':x'", name="not_x")]
    ),
    "an enum whose first value is odd": (nothing, column(sa.Enum(":x", "100%", name="size"), nullable=False)),
    "an index, unique, and check of a stored column, which is only described": (
        nothing,
        lambda: [
            sa.Column("c", sa.Text, sa.Computed("id::text")), sa.Index("ix_c", "c"), sa.UniqueConstraint("c"),
            sa.CheckConstraint("c <> ''", name="some"), sa.Index("ix_lower", sa.text("lower(c)")),
        ],
    ),
    "a virtual column": (nothing, column(sa.Text, sa.Computed("'100% :x' || id", persisted=False))),
    "odd defaults": (
        lambda: [sa.Column(f"c{number}", sa.Text) for number, _ in enumerate(TEXTS)],
        lambda: [
            sa.Column(f"c{number}", sa.Text, server_default=text, nullable=False)
            for number, text in enumerate(TEXTS)
        ],
    ),
}  # fmt: skip


def go_to(bench: Bench, wanted: sa.MetaData) -> list[str]:
    """Write the revisions, lint and apply them; return the comments that are still written then."""
    assert bench.lint(wanted, bench.write(wanted)) == []
    bench.upgrade(wanted)
    comments, operations = bench.rest(wanted)
    assert [vars(operation) for operation in operations] == []
    return comments


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        *((name, None) for name in CHANGES),
        *((name, "Odd schema") for name in ("a check that is another", "values of an enum")),
        *rounds(quick=[], full=[("odd defaults", "Odd schema")]),
    ],
)
def test_a_change_is_applied_and_taken_back(bench: Bench, name: str, schema: str | None) -> None:
    table = LONG if "index" in name else "t"  # by the convention, its names are longer
    before, after = (models(items, table, schema, convention="nobody" not in name) for items in CHANGES[name])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot correctly sort tables")
        assert go_to(bench, before) == []
        there, head = bench.dump(), bench.scripts.get_current_head()
        comments = go_to(bench, after)
        assert bool(comments) == ("type changes" in name or "only described" in name)
        left = bench.drift(after)
        assert comments or left == [], "\n".join(left)
        bench.downgrade(after, str(head))
    now = bench.dump()
    if "values" in name:
        now["types"] = there["types"]  # what was added stays
    assert difference(there, now) == []


@pytest.mark.parametrize(
    "items",
    [
        lambda: [*column(sa.Text)(), sa.Index(f"ix_{LONG}_c", "c")],
        lambda: [*column(sa.Text)(), sa.UniqueConstraint("c", name=f"uq_{LONG}_c")],
        lambda: [*refers(None)()[1:], sa.Column("c", sa.BigInteger, sa.ForeignKey(f"{LONG}.id", name=f"fk_{LONG}_c"))],
        column(sa.Text, sa.CheckConstraint("c <> ''", name=f"ck_{'ö' * 40}")),
        lambda: [sa.Column("ö" * 32, sa.Text)],
    ],
    ids=["index", "unique", "foreign key", "check", "column"],
)
def test_a_name_that_postgres_would_truncate_is_refused_before_anything_is_written(bench: Bench, items: Items) -> None:
    with pytest.raises(ConfigurationError, match="give it a shorter name"):
        bench.write(models(items))


RECIPES: dict[str, tuple[Items, Items, dict[str, str]]] = {
    "a column that goes": (column(sa.Text), nothing, {}),
    "a table that goes": (lambda: [("other",)], nothing, {}),
    "a column by another name": (
        column(sa.Text, nullable=False), lambda: [sa.Column("Its name", sa.Text, nullable=False)], {}
    ),
    "a NOT NULL column of unknown value": (
        nothing, column(pg.INT4RANGE, nullable=False), {'{"c": "..."}': '{"c": "\'empty\'"}'}
    ),
    "an identity": (nothing, column(sa.BigInteger, sa.Identity(always=True)), {}),
    "an identity of a column that is there": (
        column(sa.BigInteger, nullable=False), column(sa.BigInteger, sa.Identity(), nullable=False), {}
    ),
    "no identity": (column(sa.BigInteger, sa.Identity()), column(sa.BigInteger, nullable=False), {}),
    "an exclusion": (
        column(pg.INT4RANGE), lambda: [*column(pg.INT4RANGE)(), pg.ExcludeConstraint(("c", "&&"), name="apart")],
        {"blocking-build: ...": "blocking-build: the table has three rows"},
    ),
    "another expression": (
        column(sa.Integer, sa.Computed("1", persisted=False)), column(sa.Integer, sa.Computed("2", persisted=False)), {}
    ),
    "another primary key": (
        column(sa.BigInteger, nullable=False),
        lambda: [sa.Column("c", sa.BigInteger, nullable=False, primary_key=True)],
        {},
    ),
    "a first primary key": (keyless, nothing, {}),
    "an expression that goes": (column(sa.Integer, sa.Computed("1", persisted=True)), column(sa.Integer), {}),
}  # fmt: skip


# A name that has to be quoted, in each place.
SCHEMAS: list[str | None] = rounds(quick=["Odd schema"], full=[None, "Odd schema"])


def pasted(comments: list[str], known: dict[str, str]) -> Iterator[list[str]]:
    """The code of each revision that the comments tell people to write."""
    for old, new in known.items():
        comments = [comment.replace(old, new) for comment in comments]
    for line in "\n".join(comments).splitlines():
        code = re.match(r"    (?P<new>\d\. |upgrade +)?(?P<more> {3})?(?P<code>(?:op\.|# lint).*)", line)
        if code and code["new"] is not None:
            yield [code["code"]]
        elif code:
            yield [code["code"]] if code["code"].startswith("# lint") else ["+", code["code"]]


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("name", RECIPES)
def test_what_a_comment_says_can_be_pasted_and_is_not_written_again(
    bench: Bench, name: str, schema: str | None
) -> None:
    first, second, known = RECIPES[name]
    before, after = models(first, "Keepers", schema), models(second, "Keepers", schema)
    assert go_to(bench, before) == []
    comments = go_to(bench, after)
    assert comments != []
    paste(bench, after, comments, known)
    assert bench.rest(after) == ([], [])
    assert bench.drift(after) == []


def paste(bench: Bench, wanted: sa.MetaData, comments: list[str], known: dict[str, str]) -> None:
    """Write, lint and apply what the comments tell people to write."""
    revisions: list[list[str]] = []
    for code in pasted(comments, known):
        if code[0] == "+" and revisions:
            revisions[-1].append(code[1])
        else:
            revisions.append([line for line in code if line != "+"])
    for lines in revisions:
        assert bench.lint(wanted, [bench.write_by_hand(lines)]) == []
        bench.upgrade(wanted)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_refers_to_a_new_primary_key_is_written_once_that_is_there(bench: Bench, schema: str | None) -> None:
    there = f"{schema}.Keepers.id" if schema else "Keepers.id"
    before = models(lambda: [*keyless(), ("other", sa.Column("c", sa.BigInteger))], "Keepers", schema)
    after = models(lambda: [("other", sa.Column("c", sa.BigInteger, sa.ForeignKey(there)))], "Keepers", schema)
    assert go_to(bench, before) == []
    comments = go_to(bench, after)
    assert len(comments) == len(["the primary key", "the foreign key"])
    paste(bench, after, comments, {})
    assert go_to(bench, after) == []
    assert bench.drift(after) == []


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("is_array", [False, True])
def test_rows_can_be_rid_of_a_value_that_the_models_no_longer_have(
    bench: Bench, schema: str | None, *, is_array: bool
) -> None:
    def sizes(*values: str) -> Items:
        enum = sa.Enum(*values, name="Its size")
        return column(pg.ARRAY(enum) if is_array else enum)

    before, after = models(sizes("small", "it's"), "Keepers", schema), models(sizes("small"), "Keepers", schema)
    table = f'"{schema}"."Keepers"' if schema else '"Keepers"'
    assert go_to(bench, before) == []
    for row in ("{small,it''s}", "{small}") if is_array else ("it''s", "small"):
        bench.execute(f"INSERT INTO {table} (c) VALUES ('{row}')")
    comments = go_to(bench, after)
    paste(bench, after, comments, {"...": "small"})
    with_value = f"SELECT count(*) FROM {table} WHERE c::text LIKE '%it''s%'"
    assert bench.do(lambda connection: connection.exec_driver_sql(with_value).scalar_one()) == 0
    assert go_to(bench, before) == []  # the models have it again
    assert bench.drift(before) == []
