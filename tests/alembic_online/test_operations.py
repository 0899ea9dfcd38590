"""Online operations: what they create, what they complete after a kill, and what they leave alone."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from alembic_online.backfill import Backfill, offline_sql
from alembic_online.errors import LockLost
from alembic_online.operations.steps import ExistsDifferently, RowsInTheWay, current_operation, short_name
from alembic_online.runs.lock import MigrationLock, migration_lock
from local.postgres import Server
from tests.alembic_online.operating import Work, operate, sql_of
from tests.alembic_online.sessions import engine_of
from tests.conftest import clone, drop, superuser

ROWS = "INSERT INTO animals (name, species) SELECT 'A' || n, 'S' || n % 3 FROM generate_series(1, 10) n"
INDEX = (
    "SELECT indexrelid::regclass::text AS name, indexrelid AS oid, indisvalid"
    " FROM pg_index WHERE indrelid = 'animals'::regclass"
)
CONSTRAINT = "SELECT oid, convalidated, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = $1"
NOT_NULL = "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'animals'::regclass AND attname = $1"
# The transaction that has last added something to the table, or dropped it.
WRITTEN = "SELECT xmin::text FROM pg_class WHERE oid = 'animals'::regclass"
KEEPER = "fk_animals_keeper_staff"


def add_index(op: Any) -> None:
    op.create_index_online("ix_new", "animals", ["species", "id"], postgresql_where=sa.text("deleted_at IS NULL"))


def add_foreign_key(op: Any) -> None:
    op.add_foreign_key_online(KEEPER, "animals", "staff", ["keeper"], ["id"], ondelete="SET NULL")


def add_check(op: Any) -> None:
    op.add_check_online("species", "animals", "species <> ''")


def add_unique(op: Any) -> None:
    op.add_unique_online("uq_animals_name", "animals", ["name"])


def set_not_null(op: Any) -> None:
    op.set_not_null_online("animals", "species")


def sync(op: Any) -> None:
    op.sync_columns_online("animals", "species", "kind")


OPERATIONS = [add_index, add_foreign_key, add_check, add_unique, set_not_null, sync]


@dataclass(frozen=True)
class Animals:
    """A table `animals` with rows and two additional columns, in a database of its own."""

    server: Server
    database: str
    admin: asyncpg.Connection

    async def change(
        self, *works: Work, version: tuple[int, ...] | None = None, lock: MigrationLock | None = None
    ) -> None:
        self.need(version)
        await operate(self.server, self.database, *works, version=version, lock=lock)

    def need(self, version: tuple[int, ...] | None) -> None:
        """Skip the test if the server is older than this."""
        if version and version > self.admin.get_server_version():
            pytest.skip(f"from Postgres {version[0]} on")

    async def indexes(self) -> dict[str, asyncpg.Record]:
        return {row["name"]: row for row in await self.admin.fetch(INDEX)}

    async def constraint(self, name: str) -> asyncpg.Record | None:
        return await self.admin.fetchrow(CONSTRAINT, name)

    async def is_not_null(self, column: str) -> bool:
        return bool(await self.admin.fetchval(NOT_NULL, column))


async def prepared(server: Server, database: str, admin: asyncpg.Connection) -> Animals:
    await admin.execute(
        f"{ROWS}; ALTER TABLE animals ADD COLUMN keeper bigint, ADD COLUMN kind text;"
        " ALTER TABLE staff ADD COLUMN age bigint UNIQUE"
    )
    return Animals(server, database, admin)


@pytest.fixture
async def animals(server: Server, database: str, admin: asyncpg.Connection) -> Animals:
    return await prepared(server, database, admin)


@pytest.fixture(scope="module")
async def kept_animals(server: Server, module_database: str) -> AsyncIterator[Animals]:
    """Those of all tests in which an operation is refused, and which drop what they have made."""
    admin = await superuser(server, module_database)
    yield await prepared(server, module_database, admin)
    await admin.close()


@pytest.fixture(scope="module")
async def synced(server: Server, maintenance: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """The api's connection to a database in which `kind` has what `species` has; each test rolls back."""
    database = await clone(maintenance)
    admin = await superuser(server, database)
    animals = await prepared(server, database, admin)
    await admin.execute("UPDATE animals SET kind = species")
    await animals.change(sync, sync)
    await admin.close()
    api = await asyncpg.connect(server.url("zoo_api", database))
    yield api
    await api.close()
    await drop(maintenance, database)


class TestIndex:
    async def test_is_built_once(self, animals: Animals) -> None:
        await animals.change(add_index)
        built = (await animals.indexes())["ix_new"]
        assert built["indisvalid"]
        await animals.change(add_index)
        assert (await animals.indexes())["ix_new"] == built
        assert "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_new" in sql_of(add_index)

    async def test_that_is_invalid_is_built_anew(self, animals: Animals) -> None:
        await animals.change(add_index)
        broken = (await animals.indexes())["ix_new"]
        await animals.admin.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1", broken["oid"])
        await animals.change(add_index)
        built = (await animals.indexes())["ix_new"]
        assert built["indisvalid"]
        assert built["oid"] != broken["oid"]

    @pytest.mark.parametrize(
        "other",
        [
            "INDEX ix_new ON animals (species)",
            "INDEX ix_new ON animals (id, species) WHERE deleted_at IS NULL",
            "INDEX ix_new ON animals (species, id)",
            "UNIQUE INDEX ix_new ON animals (species, id) WHERE deleted_at IS NULL",
            "INDEX ix_new ON staff (name, id) WHERE deleted_at IS NULL",
            "INDEX ix_new ON animals (lower(species), id) WHERE deleted_at IS NULL",
        ],
    )
    async def test_of_the_same_name_that_is_another_is_left_alone(self, kept_animals: Animals, other: str) -> None:
        await kept_animals.admin.execute(f"CREATE {other}")
        try:
            before = await kept_animals.admin.fetchval("SELECT pg_get_indexdef('ix_new'::regclass)")
            with pytest.raises(ExistsDifferently, match="ix_new"):
                await kept_animals.change(add_index)
            assert await kept_animals.admin.fetchval("SELECT pg_get_indexdef('ix_new'::regclass)") == before
        finally:
            await kept_animals.admin.execute("DROP INDEX ix_new")

    async def test_that_rows_are_against_leaves_nothing_behind(self, animals: Animals) -> None:
        before = await animals.indexes()
        with pytest.raises(RowsInTheWay, match=r"rows of animals violate ix_new, .*could not create unique index"):
            await animals.change(lambda op: op.create_index_online("ix_new", "animals", ["species"], unique=True))
        assert await animals.indexes() == before

    async def test_of_an_expression_and_of_a_reserved_name(self, animals: Animals) -> None:
        def work(op: Any) -> None:
            op.create_index_online("user", "animals", [sa.text("lower(name)")], postgresql_include=["species"])

        await animals.change(work, work)
        assert (await animals.indexes())['"user"']["indisvalid"]
        await animals.change(lambda op: op.drop_index_online("user", "animals"))
        assert '"user"' not in await animals.indexes()

    @pytest.mark.parametrize("part", [sa.text("species DESC"), sa.column("species").desc()], ids=["text", "column"])
    async def test_in_descending_order_is_built_once(self, animals: Animals, part: Any) -> None:
        def work(op: Any) -> None:
            op.create_index_online("ix_new", "animals", [part, "id"])

        await animals.change(work)
        built = (await animals.indexes())["ix_new"]
        await animals.change(work)
        assert (await animals.indexes())["ix_new"] == built

    async def test_is_dropped_and_dropped_again(self, animals: Animals) -> None:
        def drop(op: Any) -> None:
            op.drop_index_online("ix_animals_name_id", "animals")

        await animals.change(drop, drop)
        assert "ix_animals_name_id" not in await animals.indexes()
        assert "DROP INDEX CONCURRENTLY IF EXISTS ix_animals_name_id" in sql_of(drop)


class TestConstraint:
    @pytest.mark.parametrize(
        ("work", "name", "definition"),
        [
            (add_foreign_key, KEEPER, "FOREIGN KEY (keeper) REFERENCES staff(id) ON DELETE SET NULL"),
            (add_check, "ck_animals_species", "CHECK ((species <> ''::text))"),
            (add_unique, "uq_animals_name", "UNIQUE (name)"),
        ],
    )
    async def test_is_added_once_and_dropped(self, animals: Animals, work: Any, name: str, definition: str) -> None:
        await animals.change(work)
        made = await animals.constraint(name)
        assert made is not None
        assert (made["convalidated"], made["definition"]) == (True, definition)
        await animals.change(work)
        assert await animals.constraint(name) == made

        def drop(op: Any) -> None:
            op.drop_constraint_online(name, "animals")

        await animals.change(drop, drop)
        assert await animals.constraint(name) is None

    @pytest.mark.parametrize(
        ("work", "name", "begun"),
        [
            (add_foreign_key, KEEPER, "FOREIGN KEY (keeper) REFERENCES staff(id) ON DELETE SET NULL NOT VALID"),
            (add_check, "ck_animals_species", "CHECK (species <> '') NOT VALID"),
        ],
    )
    async def test_that_a_killed_run_has_begun_is_validated(
        self, animals: Animals, work: Any, name: str, begun: str
    ) -> None:
        await animals.admin.execute(f"ALTER TABLE animals ADD CONSTRAINT {name} {begun}")
        before = await animals.constraint(name)
        await animals.change(work)
        after = await animals.constraint(name)
        assert before is not None
        assert after is not None
        assert (after["oid"], after["convalidated"]) == (before["oid"], True)

    async def test_whose_index_a_killed_run_has_built_is_made_of_it(self, animals: Animals) -> None:
        await animals.admin.execute("CREATE UNIQUE INDEX uq_animals_name ON animals (name)")
        before = (await animals.indexes())["uq_animals_name"]
        await animals.change(add_unique)
        assert (await animals.indexes())["uq_animals_name"] == before
        assert await animals.constraint("uq_animals_name")

    @pytest.mark.parametrize(
        ("work", "name", "wrong"),
        [
            (add_foreign_key, KEEPER, "UPDATE animals SET keeper = 77"),
            (add_check, "ck_animals_species", "UPDATE animals SET species = ''"),
            (add_unique, "uq_animals_name", "UPDATE animals SET name = 'Amara'"),
            (set_not_null, "animals_species_not_null", "UPDATE animals SET species = NULL"),
        ],
    )
    async def test_that_rows_are_against_leaves_nothing_behind(
        self, animals: Animals, work: Any, name: str, wrong: str
    ) -> None:
        await animals.admin.execute(wrong)
        before = await animals.indexes()
        with pytest.raises(RowsInTheWay, match=f"rows of animals violate {name}"):
            await animals.change(work)
        assert await animals.constraint(name) is None
        assert await animals.indexes() == before
        assert not await animals.is_not_null("species")

    @pytest.mark.parametrize(
        ("work", "name", "other"),
        [
            (add_foreign_key, KEEPER, "FOREIGN KEY (keeper) REFERENCES exhibits(id) ON DELETE SET NULL"),
            (add_foreign_key, KEEPER, "FOREIGN KEY (exhibit_id) REFERENCES staff(id) ON DELETE SET NULL"),
            (add_foreign_key, KEEPER, "CHECK (keeper > 0)"),
            (add_foreign_key, KEEPER, "FOREIGN KEY (keeper) REFERENCES staff(id) ON DELETE CASCADE"),
            (add_foreign_key, KEEPER, "FOREIGN KEY (keeper) REFERENCES staff(id) ON DELETE SET NULL ON UPDATE CASCADE"),
            (add_foreign_key, KEEPER, "FOREIGN KEY (keeper) REFERENCES staff(age) ON DELETE SET NULL"),
            (add_check, "ck_animals_species", "UNIQUE (id, species)"),
            (add_unique, "uq_animals_name", "UNIQUE (name, id)"),
            (add_unique, "uq_animals_name", "CHECK (name <> '')"),
        ],
    )
    async def test_of_the_same_name_that_is_another_is_left_alone(
        self, kept_animals: Animals, work: Any, name: str, other: str
    ) -> None:
        await kept_animals.admin.execute(f"ALTER TABLE animals ADD CONSTRAINT {name} {other}")
        try:
            before = await kept_animals.constraint(name)
            kind = {"FOREIGN": "foreign key", "CHECK": "check", "UNIQUE": "unique constraint"}[other.partition(" ")[0]]
            with pytest.raises(ExistsDifferently, match=f"the {kind} {name} of animals exists, but differs"):
                await kept_animals.change(work)
            assert await kept_animals.constraint(name) == before
        finally:
            await kept_animals.admin.execute(f"ALTER TABLE animals DROP CONSTRAINT {name}")

    @pytest.mark.parametrize(("name", "kind"), [("pk_animals", "primary key"), ("animals_name_not_null", "not null")])
    async def test_of_the_name_of_what_a_table_has_anyway_is_not_added(
        self, kept_animals: Animals, name: str, kind: str
    ) -> None:
        kept_animals.need((18,) if kind == "not null" else None)
        with pytest.raises(ExistsDifferently, match=f"the {kind} {name} of animals exists, but differs"):
            await kept_animals.change(lambda op: op.add_unique_online(name, "animals", ["name"]))

    @pytest.mark.parametrize("action", ["NO ACTION", "RESTRICT", "CASCADE", "set null", "SET DEFAULT"])
    async def test_that_refers_is_added_once_whatever_is_to_happen_to_its_rows(
        self, animals: Animals, action: str
    ) -> None:
        def add(op: Any) -> None:
            actions = {"onupdate": action, "ondelete": action}
            op.add_foreign_key_online(KEEPER, "animals", "staff", ["keeper"], ["id"], **actions)

        await animals.change(add)
        made = await animals.constraint(KEEPER)
        await animals.change(add)
        assert await animals.constraint(KEEPER) == made

    async def test_that_is_a_check_is_dropped_by_the_name_it_was_given(self, animals: Animals) -> None:
        """The models' naming convention changed the name."""

        def drop(op: Any) -> None:
            op.drop_constraint_online("species", "animals")

        await animals.change(add_check, drop, drop)
        assert await animals.constraint("ck_animals_species") is None

    def test_is_dropped_by_its_name_where_it_is_not_known_what_it_is(self) -> None:
        written = sql_of(lambda op: op.drop_constraint_online(KEEPER, "animals"))
        assert f"ALTER TABLE animals DROP CONSTRAINT IF EXISTS {KEEPER};" in written

    async def test_that_is_unique_can_take_null_for_a_value(self, animals: Animals) -> None:
        await animals.change(
            lambda op: op.add_unique_online("uq", "animals", ["name"], postgresql_nulls_not_distinct=True)
        )
        made = await animals.constraint("uq")
        assert made is not None
        assert made["definition"] == "UNIQUE NULLS NOT DISTINCT (name)"

    async def test_that_is_unique_can_be_deferrable(self, animals: Animals) -> None:
        await animals.change(
            lambda op: op.add_unique_online("uq", "animals", ["name"], deferrable=True, initially="DEFERRED"),
        )
        made = await animals.constraint("uq")
        assert made is not None
        assert made["definition"] == "UNIQUE (name) DEFERRABLE INITIALLY DEFERRED"


class TestNotNull:
    @pytest.mark.parametrize("version", [(15,), (18,)])
    async def test_is_set_and_dropped(self, animals: Animals, version: tuple[int, ...]) -> None:
        await animals.change(set_not_null, version=version)
        assert await animals.is_not_null("species")
        before = await animals.admin.fetchval(WRITTEN)
        await animals.change(set_not_null, version=version)
        assert await animals.admin.fetchval(WRITTEN) == before
        names = await animals.admin.fetch(
            "SELECT conname, convalidated FROM pg_constraint WHERE conname ~ 'species_not_null'"
        )
        is_constraint = animals.admin.get_server_version() >= (18,)
        assert [tuple(row) for row in names] == [("animals_species_not_null", True)] * is_constraint

        def drop(op: Any) -> None:
            op.drop_not_null_online("animals", "species")

        await animals.change(drop, drop, version=version)
        assert not await animals.is_not_null("species")

    @pytest.mark.parametrize(
        ("version", "begun"),
        [
            ((15,), "ADD CONSTRAINT animals_species_not_null_proof CHECK (species IS NOT NULL) NOT VALID"),
            ((15,), "ADD CONSTRAINT animals_species_not_null_proof CHECK (species IS NOT NULL)"),
            ((15,), "ALTER species SET NOT NULL, ADD CONSTRAINT animals_species_not_null_proof CHECK (species > '')"),
            ((18,), "ADD CONSTRAINT of_another_name NOT NULL species NOT VALID"),
        ],
    )
    async def test_that_a_killed_run_has_begun_is_ended(
        self, animals: Animals, version: tuple[int, ...], begun: str
    ) -> None:
        animals.need(version)
        await animals.admin.execute(f"ALTER TABLE animals {begun}")
        await animals.change(set_not_null, version=version)
        assert await animals.is_not_null("species")
        left = await animals.admin.fetchval(
            "SELECT count(*) FROM pg_constraint WHERE conname ~ 'proof' OR NOT convalidated"
        )
        assert left == 0

    @pytest.mark.parametrize("begun", ["", "CHECK (species IS NOT NULL) NOT VALID"], ids=["new", "begun"])
    async def test_that_rows_are_against_leaves_no_proof_of_it_behind(self, animals: Animals, begun: str) -> None:
        """Before Postgres 18."""
        proof = "animals_species_not_null_proof"
        await animals.admin.execute("UPDATE animals SET species = NULL WHERE name = 'A1'")
        if begun:
            await animals.admin.execute(f"ALTER TABLE animals ADD CONSTRAINT {proof} {begun}")
        with pytest.raises(RowsInTheWay, match=proof):
            await animals.change(set_not_null, version=(15,))
        assert await animals.constraint(proof) is None
        assert not await animals.is_not_null("species")

    @pytest.mark.parametrize("version", [(15,), (18,)])
    async def test_of_a_column_that_is_not_there_is_refused_by_postgres(
        self, kept_animals: Animals, version: tuple[int, ...]
    ) -> None:
        with pytest.raises(sa.exc.ProgrammingError, match=r'column "nothing" .*does not exist'):
            await kept_animals.change(lambda op: op.set_not_null_online("animals", "nothing"), version=version)

    def test_has_a_name_before_it_is_there(self) -> None:
        """As in the plan of a revision, which validates it by that name."""
        assert re.findall(r"CONSTRAINT (\w+)", sql_of(set_not_null, version=(18,))) == ["animals_species_not_null"] * 2

    async def test_of_a_column_whose_name_another_had(self, animals: Animals) -> None:
        await animals.change(set_not_null)
        await animals.admin.execute("ALTER TABLE animals RENAME species TO genus; ALTER TABLE animals ADD species text")
        await animals.admin.execute("UPDATE animals SET species = genus")
        await animals.change(set_not_null, set_not_null)
        assert await animals.is_not_null("species")

    @pytest.mark.parametrize("version", [(15,), (18,)])
    async def test_of_two_columns_with_long_names(self, animals: Animals, version: tuple[int, ...]) -> None:
        """Postgres would truncate both to the same name; one was begun by a run that was killed."""
        one, other = f"{'long_' * 11}a", f"{'long_' * 11}b"
        await animals.admin.execute(f"ALTER TABLE animals ADD COLUMN {one} text, ADD COLUMN {other} text")
        await animals.admin.execute(f"UPDATE animals SET {one} = '', {other} = ''")

        def set_one(op: Any) -> None:
            op.set_not_null_online("animals", one)

        def set_other(op: Any) -> None:
            op.set_not_null_online("animals", other)

        if version == (15,):
            begun = next(statement for statement in sql_of(set_one).split(";") if "NOT VALID" in statement)
            await animals.admin.execute(begun)
        await animals.change(set_one, set_other, version=version)
        assert await animals.is_not_null(one)
        assert await animals.is_not_null(other)


class TestColumnSync:
    @pytest.mark.parametrize(
        ("statement", "expected"),
        [
            ("INSERT INTO animals (name, species) VALUES ('x', 'old')", ("old", "old")),
            ("INSERT INTO animals (name, kind) VALUES ('x', 'new')", ("new", "new")),
            ("INSERT INTO animals (name, species, kind) VALUES ('x', 'old', 'new')", ("old", "new")),
            ("INSERT INTO animals (name) VALUES ('x')", (None, None)),
            ("UPDATE animals SET species = 'old' WHERE name = 'A1'", ("old", "old")),
            ("UPDATE animals SET kind = 'new' WHERE name = 'A1'", ("new", "new")),
            ("UPDATE animals SET species = NULL WHERE name = 'A1'", (None, None)),
            ("UPDATE animals SET species = 'old', kind = 'new' WHERE name = 'A1'", ("old", "new")),
            ("UPDATE animals SET description = 'text' WHERE name = 'A1'", ("S1", "S1")),
        ],
    )
    async def test_whichever_is_written_the_other_follows(
        self, synced: asyncpg.Connection, statement: str, expected: tuple[str, str]
    ) -> None:
        transaction = synced.transaction()
        await transaction.start()
        try:
            row = await synced.fetchrow(f"{statement} RETURNING species, kind")
        finally:
            await transaction.rollback()
        assert row is not None
        assert tuple(row) == expected

    async def test_a_row_from_before_keeps_its_old_value_until_it_is_written(self, animals: Animals) -> None:
        await animals.change(sync)
        await animals.admin.execute("UPDATE animals SET description = 'text'")
        await animals.admin.execute("UPDATE animals SET kind = species WHERE name = 'A1'")
        found = await animals.admin.fetch("SELECT species, kind FROM animals ORDER BY id LIMIT 2")
        assert [tuple(row) for row in found] == [("S1", "S1"), ("S2", None)]

    @pytest.mark.parametrize(
        ("type_", "before", "after"), [("json", "{}", "[]"), ("numeric", "1", "1.00"), ("point", "(1,1)", "(2,2)")]
    )
    async def test_of_a_type_without_an_equality_or_with_one_that_is_not_exact(
        self, animals: Animals, type_: str, before: str, after: str
    ) -> None:
        await animals.admin.execute(f"ALTER TABLE animals ADD COLUMN a {type_}, ADD COLUMN b {type_}")
        await animals.change(lambda op: op.sync_columns_online("animals", "a", "b"))
        await animals.admin.execute(f"UPDATE animals SET a = '{before}'")
        await animals.admin.execute(f"UPDATE animals SET a = '{after}'")
        assert await animals.admin.fetchval("SELECT DISTINCT b::text FROM animals") == after

    async def test_of_two_pairs_with_long_names(self, animals: Animals) -> None:
        """Postgres would truncate both to the same name."""
        columns = [f"{'long_' * 11}{letter}" for letter in "abcd"]
        await animals.admin.execute(f"ALTER TABLE animals {', '.join(f'ADD COLUMN {name} text' for name in columns)}")
        await animals.change(
            lambda op: op.sync_columns_online("animals", *columns[:2]),
            lambda op: op.sync_columns_online("animals", *columns[2:]),
        )
        await animals.admin.execute(f"UPDATE animals SET {columns[0]} = 'x', {columns[2]} = 'y'")
        found = await animals.admin.fetchrow(f"SELECT {', '.join(columns)} FROM animals LIMIT 1")
        assert found is not None
        assert tuple(found) == ("x", "x", "y", "y")

    async def test_of_a_table_in_another_schema_is_there_and_ends_there(self, animals: Animals) -> None:
        columns = ("guides", "old", "new")
        await animals.admin.execute("CREATE SCHEMA tours AUTHORIZATION zoo_migrator; SET search_path = tours")
        await animals.admin.execute(
            "CREATE TABLE guides (old text, new text); ALTER TABLE guides OWNER TO zoo_migrator"
        )
        there = "SELECT count(*) FROM pg_proc WHERE proname ~ '^sync_' AND pronamespace = 'tours'::regnamespace"
        await animals.change(lambda op: op.sync_columns_online(*columns, schema="tours"))
        assert await animals.admin.fetchval("INSERT INTO guides (old) VALUES ('x') RETURNING new") == "x"
        assert await animals.admin.fetchval(there) == 1
        await animals.change(lambda op: op.unsync_columns_online(*columns, schema="tours"))
        assert await animals.admin.fetchval("INSERT INTO guides (old) VALUES ('x') RETURNING new") is None
        assert await animals.admin.fetchval(there) == 0

    async def test_ends(self, animals: Animals) -> None:
        def unsync(op: Any) -> None:
            op.unsync_columns_online("animals", "species", "kind")

        await animals.change(sync, unsync, unsync)
        await animals.admin.execute("UPDATE animals SET species = 'old'")
        assert await animals.admin.fetchval("SELECT count(*) FROM animals WHERE kind IS NOT NULL") == 0
        assert await animals.admin.fetchval("SELECT count(*) FROM pg_proc WHERE proname ~ '^sync_'") == 0


@pytest.mark.parametrize(("length", "is_kept"), [(63, True), (64, False)])
def test_a_composed_name_is_kept_if_postgres_does_not_truncate_it(length: int, is_kept: bool) -> None:
    name = "n" * length
    assert len(short_name(name)) == 63
    assert (short_name(name) == name) == is_kept


async def test_nothing_is_done_without_the_migration_lock(animals: Animals) -> None:
    def drop(op: Any) -> None:
        op.drop_index_online("ix_animals_name_id", "animals")

    async with migration_lock(engine_of(animals.server, animals.database), 30) as lock:
        await animals.change(add_index, lock=lock)
    for work in (set_not_null, drop):
        with pytest.raises(LockLost):
            await animals.change(work, lock=lock)
    assert not await animals.is_not_null("species")
    assert {"ix_new", "ix_animals_name_id"} <= (await animals.indexes()).keys()


def test_rows_that_are_changed_later_are_changed_by_one_statement() -> None:
    definition = Backfill("animals", {"kind": "species"}, where="id > 3", key=("name", "id"))
    written = sql_of(
        lambda op: op.backfill(definition.table, definition.values, where=definition.where, key=definition.key)
    )
    assert f"{offline_sql(definition)};" in written


def test_what_follows_an_operation_in_a_revision_is_none_of_its_statements() -> None:
    sql_of(add_index)
    assert current_operation.get() is None


@pytest.mark.parametrize("work", OPERATIONS, ids=lambda work: work.__name__)
async def test_what_is_written_for_later_does_the_same(animals: Animals, work: Any) -> None:
    """Statement by statement, as psql would."""
    other = await asyncpg.connect(animals.server.url("zoo_migrator", animals.database))
    for statement in filter(None, sql_of(work).split(";\n\n")):
        if statement not in {"BEGIN", "COMMIT"}:  # such transactions are empty
            await other.execute(statement)
    await other.close()
    state = (
        "SELECT array_agg(convalidated::text || conname ORDER BY conname) FROM pg_constraint"
        " WHERE conrelid = 'animals'::regclass"
    )
    written = await animals.admin.fetchval(state)
    await animals.change(work)
    assert await animals.admin.fetchval(state) == written
