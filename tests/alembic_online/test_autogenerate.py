"""What autogenerate makes of a difference between models and database: which operations, in which revisions."""

import enum
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from alembic_online.autogenerate import write_online
from alembic_online.autogenerate.render import render_item
from alembic_online.autogenerate.step import flat
from alembic_online.operations.rows import BackfillOp
from alembic_online.runs.drift import compare_options
from api.models import Base
from local.postgres import Server
from tests.alembic_online.zoo import ZOO
from tests.conftest import EMPTY, clone, drop, engine_for

Change = Callable[[sa.MetaData], object]
Write = Callable[..., Awaitable[list[ops.MigrationScript]]]


class Diet(enum.Enum):
    PLANTS = "plants"
    MEAT = "meat"


def models() -> sa.MetaData:
    """A few tables: those of the app, which test_environment.py compares, take much longer."""
    found = sa.MetaData(naming_convention=Base.metadata.naming_convention)

    def table(name: str, *others: sa.schema.SchemaItem) -> None:
        key = sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True)
        sa.Table(name, found, key, sa.Column("name", sa.Text(), nullable=False), *others)

    table("exhibits", sa.Column("location", sa.Text()))
    table("staff")
    table(
        "animals",
        sa.Column("exhibit_id", sa.BigInteger(), sa.ForeignKey("exhibits.id")),
        sa.Index("ix_animals_name_id", "name", "id"),
    )
    return found


@pytest.fixture(scope="module")
async def engine(server: Server, maintenance: asyncpg.Connection) -> AsyncIterator[AsyncEngine]:
    """One for all tests, of a database with these tables."""
    database = await clone(maintenance, EMPTY)
    engine = engine_for(server.url("zoo_migrator", database))
    async with engine.begin() as connection:
        await connection.run_sync(models().create_all)
    yield engine
    await engine.dispose()
    await drop(maintenance, database)


@pytest.fixture
def write(engine: AsyncEngine) -> Write:
    """Writes the revisions for a change of the models, where the database has got `there`."""

    async def write(change: Change, message: str | None = "a change", there: str = "") -> list[ops.MigrationScript]:
        changed = models()
        change(changed)

        def compare(connection: Connection) -> list[ops.MigrationScript]:
            options = {"target_metadata": changed, "project": ZOO, **compare_options(ZOO)}
            context = MigrationContext.configure(connection, opts=options)
            script = produce_migrations(context, changed)
            script.message = message
            directives = [script]
            write_online(context, (), directives)
            return directives

        async with engine.connect() as connection:
            for statement in filter(None, there.split("; ")):
                await connection.exec_driver_sql(statement)
            return await connection.run_sync(compare)  # and nothing is committed

    return write


def add(*columns: sa.Column[Any], table: str = "animals") -> Change:
    """A change that adds columns."""

    def change(models: sa.MetaData) -> None:
        for column in columns:
            models.tables[table].append_column(column)

    return change


def code(script: ops.MigrationScript, *, down: bool = False) -> str:
    """The body of a revision's function."""
    body = script.downgrade_ops if down else script.upgrade_ops
    assert body is not None
    return render_python_code(body, render_item=render_item)


def called(scripts: list[ops.MigrationScript], *, down: bool = False) -> list[str]:
    """The operations of each revision."""
    return [" ".join(re.findall(r"^ *op\.(\w+)\(", code(script, down=down), re.MULTILINE)) for script in scripts]


def backfilled(scripts: list[ops.MigrationScript]) -> list[str]:
    """The values that rows get."""
    found = [each for script in scripts for container in script.upgrade_ops_list for each in flat(container.ops)]
    return [value for each in found if isinstance(each, BackfillOp) for value in each.definition.values.values()]


async def test_where_nothing_changed_there_is_one_empty_revision(write: Write) -> None:
    (script,) = await write(lambda models: models)
    assert called([script]) == called([script], down=True) == [""]
    assert "pass" in code(script)
    assert script.message == "a change"


@pytest.mark.parametrize(
    ("constraint", "there"),
    [
        (
            sa.ForeignKeyConstraint(["exhibit_id"], ["staff.id"], name="later", initially="DEFERRED"),
            "FOREIGN KEY (exhibit_id) REFERENCES staff INITIALLY DEFERRED",
        ),
        (
            sa.ForeignKeyConstraint(["exhibit_id"], ["staff.id"], name="later", deferrable=True, initially="IMMEDIATE"),
            "FOREIGN KEY (exhibit_id) REFERENCES staff DEFERRABLE",
        ),
        (sa.UniqueConstraint("name", name="later", initially="DEFERRED"), "UNIQUE (name) INITIALLY DEFERRED"),
    ],
    ids=["a key that is deferred", "one that may be", "a unique one"],
)
async def test_a_constraint_that_postgres_writes_in_more_words_is_there(
    write: Write, constraint: sa.Constraint, there: str
) -> None:
    def change(models: sa.MetaData) -> None:
        models.tables["animals"].append_constraint(constraint)

    (script,) = await write(change, there=f"ALTER TABLE animals ADD CONSTRAINT later {there}")
    assert called([script]) == [""]


async def test_check_hears_what_was_found(write: Write) -> None:
    (script,) = await write(add(sa.Column("habitat", sa.Text(), nullable=False)), message=None)
    (change,) = script.upgrade_ops_list
    assert [kind for kind, *_ in change.as_diffs()] == ["add_column"]


async def test_each_part_has_a_number_and_says_what_it_does(write: Write) -> None:
    scripts = await write(add(sa.Column("habitat", sa.Text(), nullable=False)))
    assert [script.message for script in scripts] == [
        "1 of 4: a change (add animals.habitat)",
        "2 of 4: a change (backfill animals.habitat)",
        "3 of 4: a change (animals.habitat NOT NULL)",
        "4 of 4: a change (no default of animals.habitat)",
    ]
    assert [script.head for script in scripts[1:]] == [script.rev_id for script in scripts[:-1]]


async def test_numbers_are_of_one_length_and_subjects_of_one_line(write: Write) -> None:
    columns = [sa.Column(f"{'a' * 50}{number}", sa.Text(), index=True) for number in range(10)]
    scripts = await write(add(*columns))
    messages = [str(script.message) for script in scripts]
    assert messages == sorted(messages)
    assert messages[0].startswith("01 of 11: ")
    assert max(map(len, messages)) <= 110


async def test_what_takes_something_away_comes_last(write: Write) -> None:
    def change(models: sa.MetaData) -> None:
        animals = models.tables["animals"]
        animals.append_column(sa.Column("habitat", sa.Text(), nullable=False, index=True))
        animals.append_column(sa.Column("keeper_id", sa.BigInteger(), sa.ForeignKey("staff.id")))
        animals.indexes -= {index for index in animals.indexes if index.name == "ix_animals_name_id"}
        models.tables["staff"].c.name.nullable = True
        models.tables["exhibits"].c.location.nullable = False

    scripts = await write(change)
    assert called(scripts) == [
        "add_column alter_column add_column",
        "backfill",
        "set_not_null_online",
        "create_index_online",
        "add_foreign_key_online",
        "drop_not_null_online",
        "drop_index_online",
        "backfill",
        "set_not_null_online",
        "alter_column",
    ]
    assert called(scripts, down=True) == [
        "drop_column drop_column",
        "",
        "drop_not_null_online",
        "drop_index_online",
        "drop_constraint_online",
        "set_not_null_online",
        "create_index_online",
        "",
        "drop_not_null_online",
        "alter_column",
    ]


class TestValue:
    async def test_is_the_empty_one_of_the_type_and_said_to_be_a_guess(self, write: Write) -> None:
        types: list[tuple[sa.types.TypeEngine[Any], str]] = [
            (sa.Text(), "''"),
            (sa.Boolean(), "false"),
            (sa.BigInteger(), "0"),
            (sa.Numeric(10, 2), "0"),
            (sa.Double(), "0"),
            (sa.DateTime(timezone=True), "now()"),
            (sa.Date(), "CURRENT_DATE"),
            (sa.Time(), "'00:00'"),
            (sa.Interval(), "'0'"),
            (sa.Uuid(), "gen_random_uuid()"),
            (sa.LargeBinary(), "''"),
            (postgresql.ARRAY(sa.Text()), "'{}'"),
            (postgresql.JSONB(), "'{}'"),
            (sa.Enum("small", "big", name="item_size"), "'small'"),
        ]
        columns = [sa.Column(f"new_{number:02}", type_, nullable=False) for number, (type_, _) in enumerate(types)]
        scripts = await write(add(*columns))
        assert backfilled(scripts) == [value for _, value in types]
        assert re.findall(r"server_default=sa.text\((['\"])(.*)\1\)", code(scripts[0])) == [
            ('"' if "'" in value else "'", value) for _, value in types
        ]
        assert all("No default says" in code(script) for script in scripts[1:-1:2])

    async def test_is_the_default_that_the_models_have(self, write: Write) -> None:
        diet = sa.Enum(Diet, name="diet", values_callable=lambda diets: [diet.value for diet in diets])
        defaults: list[tuple[sa.types.TypeEngine[Any], Any, str]] = [
            (sa.Text(), "it's", "'it''s'"),
            (sa.Integer(), 4, "4"),
            (sa.Boolean(), True, "true"),
            (sa.DateTime(timezone=True), sa.func.statement_timestamp(), "statement_timestamp()"),
            (diet, Diet.MEAT, "'meat'"),
        ]
        columns = [
            sa.Column(f"new_{number}", type_, nullable=False, default=default)
            for number, (type_, default, _) in enumerate(defaults)
        ]
        scripts = await write(add(*columns))
        assert backfilled(scripts) == [value for *_, value in defaults]
        assert not any("No default says" in code(script) for script in scripts)

    @pytest.mark.parametrize(
        "column",
        [
            sa.Column("new", sa.BigInteger(), sa.ForeignKey("staff.id"), nullable=False),
            sa.Column("new", sa.Text(), nullable=False, unique=True),
            sa.Column("new", postgresql.INT4RANGE(), nullable=False),
        ],
        ids=["refers", "unique", "unknown"],
    )
    async def test_that_nobody_knows_is_left_open(self, write: Write, column: sa.Column[Any]) -> None:
        scripts = await write(add(column))
        assert called(scripts)[0] == "add_column"
        assert backfilled(scripts) == []
        assert 'op.set_not_null_online("animals", "new")' in code(scripts[0])

    async def test_may_be_another_in_each_row(self, write: Write) -> None:
        scripts = await write(add(sa.Column("new", sa.Uuid(), nullable=False, unique=True)))
        assert backfilled(scripts) == ["gen_random_uuid()"]

    async def test_needs_a_key_to_go_through_the_rows(self, write: Write) -> None:
        there = "CREATE TABLE visits (at timestamptz)"

        def change(models: sa.MetaData) -> None:
            sa.Table("visits", models, sa.Column("at", sa.DateTime(True)), sa.Column("new", sa.Text(), nullable=False))

        scripts = await write(change, there=there)
        assert called(scripts) == ["add_column"]
        assert "has no primary key" in code(scripts[0])


class TestEnum:
    async def test_is_made_once_and_dropped_last(self, write: Write) -> None:
        diet = sa.Enum("plants", "meat", name="diet")
        scripts = await write(add(sa.Column("diet", diet), sa.Column("old_diets", postgresql.ARRAY(diet))))
        assert called(scripts) == ["execute add_column add_column"]
        assert called(scripts, down=True) == ["drop_column drop_column execute"]
        assert code(scripts[0]).count("create_type=False") == 2

    async def test_that_is_there_is_not_made(self, write: Write) -> None:
        diet = sa.Enum("plants", "meat", name="diet")
        scripts = await write(add(sa.Column("diet", diet)), there="CREATE TYPE diet AS ENUM ('plants', 'meat')")
        assert called(scripts) == ["add_column"]

    async def test_with_many_labels_has_no_long_line(self, write: Write) -> None:
        many = sa.Enum(*(f"label {number}" for number in range(50)), name="many")
        (script,) = await write(add(sa.Column("new", many)))
        (statement,) = re.findall(r"op.execute\((.*)\)", code(script))
        parts = re.findall(r'"[^"]*"', statement)
        assert max(map(len, parts)) < 100
        assert "".join(part[1:-1] for part in parts).startswith("CREATE TYPE many AS ENUM ('label 0', 'label 1', ")


class TestType:
    async def test_is_changed_where_the_rows_stay_as_they_are(self, write: Write) -> None:
        stays: list[tuple[str, sa.types.TypeEngine[Any]]] = [
            ("varchar(20)", sa.String(40)),
            ("varchar(20)", sa.Text()),
            ("numeric(10, 2)", sa.Numeric(12, 2)),
        ]
        rewritten: list[tuple[str, sa.types.TypeEngine[Any]]] = [
            ("varchar(20)", sa.String(10)),
            ("text", sa.String(10)),
            ("numeric(10, 2)", sa.Numeric(12, 4)),
            ("int", sa.BigInteger()),
            ("timestamp", sa.DateTime(timezone=True)),
        ]
        changes = [*stays, *rewritten]
        there = ", ".join(f"ADD COLUMN old_{number} {type_}" for number, (type_, _) in enumerate(changes))
        there = f"ALTER TABLE animals {there}"
        (script,) = await write(
            add(*(sa.Column(f"old_{number}", type_) for number, (_, type_) in enumerate(changes))), there=there
        )
        assert called([script]) == [" ".join(["alter_column"] * len(stays) + ["add_column"] * len(rewritten))]
        assert set(re.findall(r"\bold_\d_new\b", code(script))) == {f"old_{number}_new" for number in range(3, 8)}

    async def test_that_has_a_successor_gets_no_second_one(self, write: Write) -> None:
        there = "ALTER TABLE animals ADD COLUMN old int, ADD COLUMN old_new bigint"
        (script,) = await write(add(sa.Column("old", sa.BigInteger())), there=there)
        assert called([script]) == [""]
        assert 'op.sync_columns_online("animals", "old", "old_new")' in code(script)


class TestTable:
    async def test_refers_to_one_in_use_only_once_it_is_there(self, write: Write) -> None:
        def change(models: sa.MetaData) -> None:
            sa.Table(
                "keepers",
                models,
                sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
                sa.Column("staff_id", sa.BigInteger(), sa.ForeignKey("staff.id"), index=True),
                sa.Column("deputy_id", sa.BigInteger(), sa.ForeignKey("keepers.id")),
            )

        scripts = await write(change)
        assert called(scripts) == ["create_table create_index", "add_foreign_key_online"]
        assert '["keepers.id"]'.replace('"', "'") in code(scripts[0])
        assert "staff.id" not in code(scripts[0])
        assert called(scripts, down=True) == ["drop_index drop_table", "drop_constraint_online"]


async def test_indexes_and_constraints_of_a_column_that_goes_stay_with_it(write: Write) -> None:
    there = (
        "ALTER TABLE animals ADD COLUMN old bigint REFERENCES staff (id) UNIQUE; "
        "CREATE INDEX ix_animals_old_id ON animals (old, id)"
    )
    (script,) = await write(lambda models: models, there=there)
    assert called([script]) == [""]
    assert 'op.drop_column("animals", "old")' in code(script)


async def test_any_column_that_is_new_may_be_the_one_that_goes(write: Write) -> None:
    there = "ALTER TABLE animals ADD COLUMN old int NOT NULL"
    columns: list[sa.Column[Any]] = [
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
    ]
    scripts = await write(add(*columns), there=there)
    assert called(scripts) == ["add_column add_column", "drop_not_null_online"]
    assert code(scripts[0]).count("may be another name for old") == 2
    assert 'op.sync_columns_online("animals", "old", "number")' in code(scripts[1])


async def test_a_constraint_that_goes_can_come_back(write: Write) -> None:
    there = "ALTER TABLE animals ADD CONSTRAINT uq_animals_name UNIQUE (name)"
    (script,) = await write(lambda models: models, there=there)
    assert called([script]) == ["drop_constraint_online"]
    assert called([script], down=True) == ["add_unique_online"]
