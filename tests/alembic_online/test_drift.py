"""What drift sees: models that differ from the schema, and what was changed by hand since the last run."""

import enum
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import UserDefinedType

from alembic_online.drift import record
from alembic_online.drift.report import Drift, compare_with_models, find_drift
from local.postgres import SUPERUSER, Server
from tests.alembic_online.zoo import ZOO
from tests.conftest import EMPTY, clone, drop, engine_for


@asynccontextmanager
async def connected(server: Server, database: str) -> AsyncIterator[AsyncConnection]:
    """A superuser's connection, whose work is rolled back."""
    engine = engine_for(server.url(SUPERUSER, database))
    async with engine.connect() as connection:
        yield connection
        await connection.rollback()


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Point(UserDefinedType[Any]):
    """A type that SQLAlchemy does not know."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "point"


class Nowhere(UserDefinedType[Any]):
    """A type that Postgres does not know."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "nowhere"


def models() -> sa.MetaData:
    """Tables with all that a model can hold."""
    found = sa.MetaData(naming_convention={"ix": "ix_%(column_0_label)s"})
    sa.Table(
        "keepers",
        found,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(20), nullable=False, server_default="keeper's", comment="what they're called"),
        sa.Column("percent", sa.Text, server_default="100% :x"),
        sa.Column("colon", sa.Text, server_default=sa.text("'a:x'")),
        sa.Column("answers", sa.JSON, server_default="{}"),
        sa.Column("more", pg.JSONB, server_default=sa.text("'[]'")),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.func.now()),
        sa.Column("until", sa.DateTime(timezone=True), server_default=sa.text("CURRENT_TIMESTAMP")),
        sa.Column("token", sa.Uuid, server_default=sa.text("gen_random_uuid()")),
        sa.Column("luck", sa.Double, server_default=sa.text("random()")),
        sa.Column("mood", sa.Enum(Mood, name="mood"), server_default="GOOD"),
        sa.Column("moods", sa.ARRAY(sa.Enum(Mood, name="mood"))),
        sa.Column("size", sa.Enum("big", "small", native_enum=False, create_constraint=True, name="size")),
        sa.Column("on", sa.Boolean(create_constraint=True, name="on"), server_default=sa.true()),
        sa.Column("price", sa.Numeric(10, 2), server_default=sa.text("1.5")),
        sa.Column("place", Point),
        sa.Column("many", pg.ARRAY(sa.String(5)), server_default="{}"),
        sa.Column("C name", sa.String(collation="C")),
        sa.Column("upper", sa.Text, sa.Computed("upper(name)", persisted=True)),
        sa.Column("span", pg.TSTZRANGE),
        sa.Column("select", sa.SmallInteger, sa.Sequence("steps"), nullable=False),
        sa.CheckConstraint("price BETWEEN 0 AND 100", name="price"),
        sa.CheckConstraint("name IN ('a', 'b') OR percent <> '100%'"),
        sa.CheckConstraint('"select" > 0'),
        sa.CheckConstraint("\"C name\" NOT IN ('a', 'b')"),
        sa.CheckConstraint("price NOT BETWEEN 7 AND 8"),
        sa.UniqueConstraint("name", "C name"),
        sa.UniqueConstraint("token", name="uq_token", postgresql_nulls_not_distinct=True, deferrable=True),
        sa.Index(None, "since"),
        sa.Index(
            "ix_lower", sa.func.lower(sa.column("name")).desc(), unique=True, postgresql_where=sa.text("price > 1")
        ),
        sa.Index("ix_ops", "name", "mood", postgresql_ops={"name": "text_pattern_ops"}, postgresql_include=["luck"]),
        sa.Index("ix_gin", "more", postgresql_using="gin", postgresql_with={"fastupdate": False}),
        sa.Index("ix_first", sa.text("price ASC NULLS FIRST"), sa.text("luck DESC NULLS LAST")),
        sa.Index("ix_usual", sa.text("price ASC NULLS LAST"), sa.text("luck DESC NULLS FIRST")),
        sa.Index(
            "ix_some", "since", postgresql_include=["luck"], postgresql_where=sa.text("percent <> ' WHERE (1, 2)'")
        ),
        pg.ExcludeConstraint((sa.column("span"), "&&"), name="ex_span", using="gist", where=sa.text("price > 1")),
        pg.ExcludeConstraint((sa.column("luck"), "="), name="ex_luck", using="btree", initially="DEFERRED"),
        pg.ExcludeConstraint(
            (sa.column("token"), "="),
            name="ex_later",
            using="btree",
            where=sa.text("(price > 1) OR (luck > 2)"),
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.CheckConstraint("((luck > 0) AND (luck < 1))"),
        comment="who keeps",
    )
    sa.Table(
        "tasks",
        found,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True, start=10, increment=5), primary_key=True),
        sa.Column("n", sa.Integer, sa.Identity(minvalue=0, maxvalue=99, cycle=True, cache=3)),
        sa.Column("small", sa.SmallInteger, sa.Identity()),
        sa.Column("keeper", sa.ForeignKey("keepers.id", ondelete="SET NULL", onupdate="CASCADE", deferrable=True)),
        sa.Column("before", sa.ForeignKey("tasks.id", name="fk_before", initially="DEFERRED", deferrable=True)),
        sa.Column("after", sa.ForeignKey("tasks.id", name="fk_after", match="FULL", ondelete="SET DEFAULT")),
        sa.Column("later", sa.ForeignKey("tasks.id", name="fk_later", initially="DEFERRED")),
        sa.Column("at_once", sa.ForeignKey("tasks.id", name="fk_at_once", deferrable=True, initially="IMMEDIATE")),
    )
    sa.Table(
        "events",
        found,
        sa.Column("at", sa.DateTime(timezone=True), primary_key=True),
        postgresql_partition_by="RANGE (at)",
    )
    return found


@pytest.fixture(scope="module")
async def modelled(server: Server, maintenance: Any) -> AsyncIterator[AsyncConnection]:
    """A database that SQLAlchemy has created from these models; each test rolls back."""
    database = await clone(maintenance, EMPTY)
    async with connected(server, database) as connection:
        await connection.run_sync(models().create_all)
        await connection.commit()
        yield connection
    await drop(maintenance, database)


unchanged = cache(models)


async def compare(
    connection: AsyncConnection, *statements: str, change: Callable[[sa.MetaData], object] | None = None
) -> Drift:
    """The models, with a change, compared with the database, after these statements."""
    if change:
        change(compared := models())
    else:
        compared = unchanged()
    project = replace(ZOO, metadata=compared)

    def work(connection: Connection) -> Drift:
        run(connection, *statements)
        return compare_with_models(connection, project)

    try:
        return await connection.run_sync(work)
    finally:
        await connection.rollback()


async def test_what_sqlalchemy_creates_is_no_drift(modelled: AsyncConnection) -> None:
    assert await compare(modelled) == Drift()


CHANGED = {
    "DROP TABLE tasks": ["missing: table tasks"],
    "CREATE TABLE other (id int PRIMARY KEY, note text DEFAULT 'x')": ["not in the models: table other"],
    "ALTER TABLE keepers ADD wild boolean DEFAULT true NOT NULL": ["not in the models: column keepers.wild"],
    "ALTER TABLE keepers DROP place": ["missing: column keepers.place"],
    "ALTER TABLE keepers ALTER price TYPE numeric(8, 2)": [
        "not as in the models: column keepers.price is numeric(8,2), not numeric(10,2)"
    ],
    "ALTER TABLE keepers ALTER name DROP NOT NULL": [
        "not as in the models: column keepers.name is character varying(20), not character varying(20) NOT NULL"
    ],
    'ALTER TABLE keepers ALTER "C name" TYPE varchar COLLATE "POSIX"': [
        'not as in the models: column keepers.C name is character varying COLLATE "POSIX", not character varying'
    ],
    "ALTER TABLE keepers ALTER place TYPE text": ["not as in the models: column keepers.place is text, not point"],
    "ALTER TABLE keepers ALTER name SET DEFAULT 'keepers'": [
        "not as in the models: default of keepers.name is 'keepers'::character varying, not 'keeper''s'"
    ],
    "ALTER TABLE keepers ALTER percent DROP DEFAULT": ["missing: default of keepers.percent"],
    "ALTER TABLE keepers ALTER size SET DEFAULT 'big'": ["not in the models: default of keepers.size"],
    "ALTER TABLE keepers ALTER answers SET DEFAULT '[]'": [
        "not as in the models: default of keepers.answers is '[]'::json, not '{}'"
    ],
    "ALTER TABLE keepers ALTER since SET DEFAULT clock_timestamp()": [
        "not as in the models: default of keepers.since is clock_timestamp(), not now()"
    ],
    "ALTER TABLE tasks DROP CONSTRAINT tasks_pkey CASCADE": [
        *(f"missing: foreign key fk_{name} on tasks" for name in ("after", "at_once", "before", "later")),
        "missing: primary key of tasks",
    ],
    "ALTER TABLE keepers DROP CONSTRAINT price, ADD CONSTRAINT price CHECK (price >= 0)": [
        "not as in the models: check constraint price on keepers is CHECK ((price >= (0)::numeric)), not CHECK (price"
    ],
    "ALTER TABLE keepers DROP CONSTRAINT ex_span, ADD CONSTRAINT ex_span EXCLUDE USING gist (span WITH &&)": [
        "not as in the models: exclusion constraint ex_span on keepers is EXCLUDE USING gist (span WITH &&)"
    ],
    "ALTER TABLE keepers DROP CONSTRAINT uq_token": ["missing: unique constraint uq_token on keepers"],
    "ALTER TABLE tasks DROP CONSTRAINT fk_before, ADD CONSTRAINT fk_before FOREIGN KEY (before) REFERENCES tasks": [
        "not as in the models: foreign key fk_before on tasks is FOREIGN KEY (before) REFERENCES tasks(id)"
    ],
    "DROP INDEX ix_keepers_since": ["missing: index ix_keepers_since on keepers"],
    "CREATE INDEX ix_more ON keepers (token)": ["not in the models: index ix_more on keepers"],
    "DROP INDEX ix_lower; CREATE UNIQUE INDEX ix_lower ON keepers (lower(name) DESC) WHERE price > 2": [
        "not as in the models: index ix_lower on keepers is UNIQUE btree (lower((name)::text) DESC) WHERE (price >"
    ],
    "DROP INDEX ix_first; CREATE INDEX ix_first ON keepers (price, luck DESC NULLS LAST)": [
        "not as in the models: index ix_first on keepers is btree (price, luck DESC NULLS LAST)"
    ],
    "DROP INDEX ix_first; CREATE INDEX ix_first ON keepers (price NULLS FIRST, luck DESC)": [
        "not as in the models: index ix_first on keepers is btree (price NULLS FIRST, luck DESC)"
    ],
    "DROP INDEX ix_usual; CREATE INDEX ix_usual ON keepers (price, luck)": [
        "not as in the models: index ix_usual on keepers is btree (price, luck)"
    ],
    "DROP INDEX ix_some; CREATE INDEX ix_some ON keepers (since) WHERE percent <> ' WHERE (1, 2)'": [
        "not as in the models: index ix_some on keepers is btree (since) WHERE"
    ],
    "DROP INDEX ix_some; CREATE INDEX ix_some ON keepers (since) INCLUDE (luck) WHERE percent <> ' WHERE (1, 3)'": [
        "not as in the models: index ix_some on keepers is btree (since) INCLUDE (luck) WHERE"
    ],
    "ALTER TABLE keepers DROP CONSTRAINT ex_later, ADD CONSTRAINT ex_later EXCLUDE USING btree (token WITH =)"
    " WHERE (price > 1 OR luck > 2) DEFERRABLE": [
        "not as in the models: exclusion constraint ex_later on keepers is EXCLUDE USING btree (token WITH =) WHERE"
    ],
    "ALTER TABLE tasks ALTER small SET MAXVALUE 99": ["not as in the models: identity of tasks.small is BY DEFAULT"],
    "ALTER TABLE tasks DROP CONSTRAINT fk_after, ADD CONSTRAINT fk_after FOREIGN KEY (after) REFERENCES tasks"
    " ON DELETE SET DEFAULT": ["not as in the models: foreign key fk_after on tasks is FOREIGN KEY (after) REFERENCES"],
    "ALTER TYPE mood RENAME VALUE 'BAD' TO 'AWFUL'": [
        "not as in the models: enum mood is 'GOOD', 'AWFUL', not 'GOOD', 'BAD'"
    ],
    "ALTER TYPE mood ADD VALUE 'FAIR' BEFORE 'BAD'": [
        "not as in the models: enum mood is 'GOOD', 'FAIR', 'BAD', not 'GOOD', 'BAD'"
    ],
    "DROP TYPE mood CASCADE": [
        "missing: column keepers.mood", "missing: column keepers.moods", "missing: enum mood",
        "missing: index ix_ops on keepers",
    ],
    "ALTER TABLE keepers ALTER upper DROP EXPRESSION": ["missing: generated expression of keepers.upper"],
    "ALTER TABLE keepers ALTER upper SET EXPRESSION AS (lower(name))": [
        "not as in the models: generated expression of keepers.upper is lower((name)::text) STORED, not upper(name)"
    ],
    "ALTER TABLE tasks ALTER n DROP IDENTITY": ["missing: identity of tasks.n"],
    "ALTER TABLE tasks ALTER n SET NO CYCLE": [
        "not as in the models: identity of tasks.n is BY DEFAULT INCREMENT BY 1 MINVALUE 0 MAXVALUE 99 START WITH 0"
    ],
    "DROP SEQUENCE steps": ["missing: sequence steps"],
    "COMMENT ON COLUMN keepers.name IS 'a name'": [
        "not as in the models: comment on column keepers.name is a name, not what they're called"
    ],
    "COMMENT ON TABLE keepers IS NULL": ["missing: comment on keepers"],
    "CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');"
    " CREATE INDEX ON events_2026 (at)": [],
}  # fmt: skip


@pytest.mark.parametrize("statement", CHANGED)
async def test_what_differs_from_the_models_is_said_once(modelled: AsyncConnection, statement: str) -> None:
    if "SET EXPRESSION" in statement and (modelled.dialect.server_version_info or ()) < (17,):
        pytest.skip("from Postgres 17 on")
    found = await compare(modelled, *statement.split(";"))
    begins = CHANGED[statement]
    assert [change[: len(begin)] for change, begin in zip(sorted(found.changes), begins, strict=True)] == begins
    assert not found.not_compared


def column(name: str, *args: Any, **options: Any) -> Callable[[sa.MetaData], object]:
    return lambda models: models.tables["keepers"].append_column(
        sa.Column(name, *args, **options), replace_existing=True
    )


UNCOMPARABLE = {
    "a type that postgres does not know": (
        column("token", Nowhere, server_default=sa.text("gen_random_uuid()")),
        "the type of column keepers.token",
    ),
    "a default that postgres refuses": (
        column("token", sa.Uuid, server_default=sa.text("f()")), "default of keepers.token"
    ),
    "a default that is no expression": (
        column("token", sa.Uuid, server_default=sa.text("'x")), "default of keepers.token"
    ),
    "a default of another type": (column("token", sa.Uuid, server_default="x"), "default of keepers.token"),
    "a condition": (
        lambda models: models.tables["keepers"].append_constraint(sa.CheckConstraint("nothing > 1", name="on")),
        "check constraint on on keepers",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCOMPARABLE)
async def test_what_can_not_be_compared_is_named_and_hides_nothing(modelled: AsyncConnection, name: str) -> None:
    change, what = UNCOMPARABLE[name]
    statements = ["ALTER TABLE keepers ADD wild boolean", 'ALTER TABLE keepers ADD CONSTRAINT "on" CHECK (price > 5)']
    found = await compare(modelled, *statements[: 2 if name == "a condition" else 1], change=change)
    assert [reason.partition(":")[0] for reason in found.not_compared] == [what]
    assert found.changes == ["not in the models: column keepers.wild"]


BY_HAND = {
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1": ["added by hand: function f()"],
    "CREATE TRIGGER audit AFTER INSERT ON animals FOR EACH ROW EXECUTE FUNCTION there()": [
        "added by hand: trigger audit on animals"
    ],
    "ALTER TABLE animals DISABLE TRIGGER was_there": ["changed by hand: trigger was_there on animals"],
    "DROP TRIGGER was_there ON animals": ["dropped by hand: trigger was_there on animals"],
    "CREATE OR REPLACE FUNCTION there() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN old; END$$": [
        "changed by hand: function there()"
    ],
    "CREATE POLICY mine ON animals USING (true)": ["added by hand: policy mine on animals"],
    "ALTER TABLE animals ENABLE ROW LEVEL SECURITY": ["added by hand: row security of animals"],
    "CREATE VIEW seen AS SELECT name FROM animals": ["added by hand: view seen"],
    "CREATE OR REPLACE VIEW lions AS SELECT name FROM animals WHERE species = 'cat'": [
        "changed by hand: view lions"
    ],
    "CREATE MATERIALIZED VIEW seen AS SELECT name FROM animals": ["added by hand: materialized view seen"],
    "CREATE DOMAIN small AS int CHECK (value < 5)": ["added by hand: domain small"],
    "CREATE TYPE pair AS (a int, b int)": ["added by hand: type pair"],
    "CREATE TYPE colour AS ENUM ('red')": ["added by hand: enum colour"],
    "CREATE SEQUENCE steps": ["added by hand: sequence steps"],
    "ALTER SEQUENCE counts INCREMENT 5": ["changed by hand: sequence counts is"],
    "UPDATE pg_extension SET extversion = '2'": [
        "changed by hand: extension plpgsql is 2 in pg_catalog, was 1.0 in pg_catalog"
    ],
    "GRANT TRUNCATE ON animals TO zoo_api": ["changed by hand: privileges of zoo_api on animals is DELETE, INSERT"],
    "GRANT SELECT (name) ON animals TO PUBLIC": ["added by hand: privileges of PUBLIC of name on animals"],
    "REVOKE ALL ON animals FROM zoo_api": ["dropped by hand: privileges of zoo_api on animals"],
    "ALTER DEFAULT PRIVILEGES FOR ROLE zoo_migrator IN SCHEMA public GRANT TRUNCATE ON TABLES TO zoo_api": [
        "changed by hand: privileges of zoo_api of new tables of zoo_migrator on public is"
    ],
    "ALTER TABLE staff OWNER TO postgres": [
        "changed by hand: owner of staff is postgres, was zoo_migrator",
        "added by hand: privileges of postgres on staff",
        "dropped by hand: privileges of zoo_migrator on staff",
    ],
    "ALTER TABLE animals SET (fillfactor = 70)": ["added by hand: storage parameters of animals"],
    "ALTER TABLE animals REPLICA IDENTITY FULL": ["added by hand: replica identity of animals"],
    "CREATE STATISTICS on_names ON name, species FROM animals": ["added by hand: statistics on_names"],
    "CREATE RULE nothing AS ON DELETE TO animals DO INSTEAD NOTHING": ["added by hand: rule nothing on animals"],
    "ALTER INDEX ix_animals_name_id SET (fillfactor = 70)": ["not as in the models: index ix_animals_name_id"],
    "DROP TABLE staff": ["missing: table staff"],
    "ALTER TABLE animals ADD wild boolean DEFAULT true": ["not in the models: column animals.wild"],
    "ALTER TABLE staff DROP CONSTRAINT pk_staff": ["missing: primary key of staff"],
}  # fmt: skip
NO_DRIFT = (
    "REINDEX TABLE animals",
    "ANALYZE animals",
    "INSERT INTO exhibits (name) VALUES ('x')",
    "SELECT nextval('counts')",
    "CREATE SCHEMA elsewhere CREATE TABLE notes (id int)",
)


@pytest.fixture(scope="module")
async def recorded(server: Server, maintenance: Any) -> AsyncIterator[AsyncConnection]:
    """A migrated database whose schema was recorded, with some that no model holds; each test rolls back."""
    database = await clone(maintenance)
    async with connected(server, database) as connection:
        await connection.run_sync(
            run,
            "CREATE FUNCTION there() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN new; END$$",
            "CREATE TRIGGER was_there AFTER DELETE ON animals FOR EACH ROW EXECUTE FUNCTION there()",
            "CREATE VIEW lions AS SELECT name FROM animals WHERE species = 'lion'",
            "CREATE SEQUENCE counts",
        )
        await connection.run_sync(finish)
        yield connection
    await drop(maintenance, database)


def finish(connection: Connection, *, accept: bool = False) -> None:
    record.finish(MigrationContext.configure(connection, opts={"project": ZOO}), ZOO, accept=accept)


async def drift_after(connection: AsyncConnection, *statements: str) -> Drift:
    """What drift there is after these statements."""

    def work(connection: Connection) -> Drift:
        run(connection, *statements)
        return find_drift(connection, ZOO)

    try:
        return await connection.run_sync(work)
    finally:
        await connection.rollback()


async def test_what_changes_no_definition_is_none(recorded: AsyncConnection) -> None:
    assert await drift_after(recorded, *NO_DRIFT) == Drift()


@pytest.mark.parametrize("statement", BY_HAND)
async def test_what_is_done_by_hand_is_said_once(recorded: AsyncConnection, statement: str) -> None:
    found = await drift_after(recorded, statement)
    assert len(found.changes) == len(BY_HAND[statement]), found.changes
    assert all(any(change.startswith(begin) for change in found.changes) for begin in BY_HAND[statement]), found.changes
    assert not found.not_compared
