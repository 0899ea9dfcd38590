"""`python -m alembic_online plan`: what it says about pending revisions, on databases in use."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import uncoloured
from tests.faults.checkout import checkout_with, concurrently
from tests.processes.test_history import REVISIONS, history
from tests.processes.test_migrator import migrator
from tests.processes.test_schema import schema

ROWS = "INSERT INTO animals (name, species) SELECT 'A' || n, 'S' || n % 3 FROM generate_series(1, 1000) n"
ADD_COLUMN = "op.execute('ALTER TABLE animals ADD COLUMN kind varchar(20)')"


def planned(server: Server, database: str, checkout: Path, *arguments: str) -> dict[str, Any]:
    done = migrator(server.environment(database), "plan", "--json", *arguments, cwd=checkout)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shown(server: Server, database: str, checkout: Path) -> str:
    done = migrator({**server.environment(database), "COLUMNS": "100"}, "plan", cwd=checkout)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100
    return " ".join(uncoloured(done.stdout).split())


def verdicts(found: dict[str, Any]) -> dict[str, list[str]]:
    return {each["revision"]: [one["verdict"] for one in each["statements"]] for each in found["revisions"]}


def reasons(found: dict[str, Any]) -> list[str]:
    return [one["reason"] for each in found["revisions"] for one in each["statements"]]


@pytest.fixture
async def migrator_session(server: Server, database: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the role that owns the tables."""
    connection = await asyncpg.connect(server.url("zoo_migrator", database))
    yield connection
    await connection.close()


async def test_each_statement_has_a_verdict_and_a_revision_the_gravest(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    await admin.execute(ROWS)
    checkout = checkout_with(
        tmp_path,
        column=ADD_COLUMN,
        index=concurrently("ix_kind", column="kind"),
        widened="op.alter_column('animals', 'kind', type_=sa.Text())",  # the plan knows the new column
        volatile="op.execute('ALTER TABLE animals ADD COLUMN born timestamptz DEFAULT clock_timestamp()')",
        scanned="op.execute('ALTER TABLE animals ADD CONSTRAINT x CHECK (name <> $$x$$)')",
        built="op.create_index('ix_born', 'animals', ['born'])",
        all_rows="op.execute(\"UPDATE animals SET kind = 'x'\")",
        some_rows="op.execute(\"UPDATE animals SET kind = 'x' WHERE id < 10\")",
        held="op.execute('ALTER TABLE staff ADD x int')\nop.execute('UPDATE animals SET kind = 1 WHERE id < 10')",
        opaque="op.execute('SELECT do_something()')",
        dropped="op.drop_index('ix_kind')",
    )
    found = planned(server, database, checkout)
    assert verdicts(found) == {
        "column": ["safe"],
        "index": ["safe"],
        "widened": ["safe"],
        "volatile": ["unsafe"],
        "scanned": ["unsafe"],
        "built": ["unsafe"],
        "all_rows": ["unsafe"],
        "some_rows": ["careful"],
        "held": ["safe", "unsafe"],
        "opaque": ["unknown"],
        "dropped": ["safe"],
    }
    assert [each["verdict"] for each in found["revisions"]] == [max(each) for each in verdicts(found).values()]
    assert found["verdict"] == "unsafe"
    size = next(table["size"] for table in found["tables"] if table["name"] == "animals")
    told = reasons(found)
    assert told[0] == "reads and writes of animals wait for an instant"
    assert told[1] == "blocks nobody"
    assert told[3] == f"reads and writes of animals wait while this rewrites all of animals ({size})"
    assert told[5] == f"writes of animals wait while this builds an index on animals ({size})"
    assert told[9] == f"reads and writes of staff wait while this changes rows of animals ({size})"
    assert told[-1] == "reads and writes of animals wait for an instant"


async def test_online_operations_are_safe_and_nothing_is_changed(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    await admin.execute(ROWS)
    checkout = checkout_with(
        tmp_path,
        column=f"{ADD_COLUMN}\nop.add_column('animals', sa.Column('keeper', sa.BigInteger))",
        index="op.create_index_online('ix_kind', 'animals', ['kind'])",
        fill="op.backfill('animals', {'kind': 'upper(species)'})",
        required="op.set_not_null_online('animals', 'kind')",
        key="op.add_foreign_key_online('fk_keeper', 'animals', 'staff', ['keeper'], ['id'])",
        check="op.add_check_online('kind', 'animals', \"kind <> ''\")",
        unique="op.add_unique_online('uq_kind', 'animals', ['kind', 'id'])",
        both="op.sync_columns_online('animals', 'species', 'kind')",
        apart="op.unsync_columns_online('animals', 'species', 'kind')",
        gone="op.drop_index_online('ix_kind', 'animals')",
    )
    before = schema(server, database), await history(server, database)
    found = planned(server, database, checkout)
    assert found["verdict"] == "safe", reasons(found)
    (fill,) = found["revisions"][2]["statements"]
    assert fill["operation"] == "backfill"
    assert [(effect["table"], effect["lock"]) for effect in fill["effects"]] == [("animals", "ROW EXCLUSIVE")]
    assert "UPDATE animals SET kind = upper(species)" in shown(server, database, checkout)
    assert (schema(server, database), await history(server, database)) == before


async def test_tables_have_their_size_and_their_rows_where_somebody_has_counted(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    await admin.execute(f"{ROWS}; CREATE TABLE uncounted AS SELECT 1 AS n; ANALYZE animals")
    checkout = checkout_with(tmp_path, lock="op.execute('LOCK TABLE animals, uncounted, exhibits IN SHARE MODE')")
    tables = {table.pop("name"): table for table in planned(server, database, checkout)["tables"]}
    size = await admin.fetchval("SELECT pg_total_relation_size('animals')")
    pretty = await admin.fetchval("SELECT pg_size_pretty($1::bigint)", size)
    assert tables["animals"] == {"bytes": size, "size": pretty, "rows": 1000, "has_rows": True}
    assert (tables["uncounted"]["rows"], tables["uncounted"]["has_rows"]) == (None, True)
    assert tables["exhibits"]["has_rows"] is False
    text = shown(server, database, checkout)
    assert f"animals ({pretty}, about 1,000 rows): SHARE" in text
    assert "unknown rows): SHARE" in text
    assert "exhibits (empty): SHARE" in text


class TestFails:
    async def test_what_something_needs_and_is_named(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        await admin.execute(
            """
            SET ROLE zoo_migrator;
            CREATE TYPE mood AS ENUM ('good');
            CREATE FUNCTION is_good(mood) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN $1 = 'good';
            CREATE TABLE beasts (
                id int PRIMARY KEY, mood mood, size int, twice int GENERATED ALWAYS AS (size * 2) STORED
            );
            CREATE TABLE "Parts" (beast int CONSTRAINT fk_beast REFERENCES beasts);
            CREATE VIEW moods AS SELECT mood FROM beasts;
            CREATE MATERIALIZED VIEW big AS SELECT size FROM beasts;
            CREATE POLICY good ON beasts USING (is_good(mood));
            CREATE INDEX ix_size ON beasts (size);
            RESET ROLE;
            """
        )
        found = planned(
            server,
            database,
            checkout_with(
                tmp_path,
                column="op.execute('ALTER TABLE beasts DROP COLUMN mood')",
                type="op.execute('ALTER TABLE beasts ALTER COLUMN size TYPE bigint')",
                enum="op.execute('DROP TYPE mood')",
                table="op.execute('DROP TABLE beasts')",
                key="op.execute('ALTER TABLE beasts DROP CONSTRAINT beasts_pkey')",
                function="op.execute('DROP FUNCTION is_good')",
                index="op.execute('DROP INDEX ix_size')",
                apart="op.execute('DROP VIEW moods')\nop.execute('DROP POLICY good ON beasts')\n"
                "op.execute('ALTER TABLE beasts DROP COLUMN mood')",
                cascade="op.execute('DROP TABLE beasts CASCADE')",
            ),
        )
        assert reasons(found)[:6] == [
            "policy good on table beasts needs beasts.mood; view moods needs beasts.mood",
            "default value for column twice of table beasts needs beasts.size; materialized view big needs beasts.size",
            "column mood of table beasts needs it; column mood of view moods needs it; function is_good(mood) needs it",
            'constraint fk_beast on table "Parts" needs it; materialized view big needs it; view moods needs it',
            'constraint fk_beast on table "Parts" needs beasts_pkey',
            "policy good on table beasts needs it",
        ]
        assert [verdicts(found)[name] for name in ("column", "type", "enum", "table", "key", "function")] == [
            ["fails"]
        ] * 6
        assert "fails" not in [*verdicts(found)["index"], *verdicts(found)["apart"], *verdicts(found)["cascade"]]
        assert found["verdict"] == "fails"

    async def test_rows_that_share_what_is_to_be_unique(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        await admin.execute(ROWS)
        checkout = checkout_with(
            tmp_path,
            species="op.create_index_online('ix_species', 'animals', ['species'], unique=True)",
            name="op.add_unique_online('uq_name', 'animals', ['name'])",
            both="op.execute('ALTER TABLE animals ADD UNIQUE (species, id)')",
            mended='op.execute("UPDATE animals SET species = name WHERE id > 0")\n'
            "op.execute('CREATE UNIQUE INDEX CONCURRENTLY ix_s ON animals (species)')",
            empty="op.execute('CREATE UNIQUE INDEX ix_staff ON staff (name)')",
        )
        found = planned(server, database, checkout)
        assert verdicts(found)["species"] == ["fails"]
        assert reasons(found)[0] == "rows share the same (species), which are to be unique"
        assert verdicts(found)["name"] == ["safe", "safe"]
        assert verdicts(found)["both"] == ["unsafe"]
        assert verdicts(found)["mended"][1] == "careful"
        assert found["revisions"][3]["statements"][1]["reason"] == "blocks nobody, if no two rows share (species)"
        assert verdicts(found)["empty"] == ["safe"]

    async def test_an_index_that_no_partitioned_table_can_get(
        self, server: Server, database: str, tmp_path: Path, migrator_session: asyncpg.Connection
    ) -> None:
        await migrator_session.execute(
            "CREATE TABLE visits (day date) PARTITION BY RANGE (day); CREATE INDEX ix_day ON visits (day)"
        )
        checkout = checkout_with(
            tmp_path, built=concurrently("ix", "visits", "day"), gone="op.drop_index_online('ix_day', 'visits')"
        )
        found = planned(server, database, checkout)
        assert verdicts(found) == {"built": ["fails"], "gone": ["fails"]}
        assert "visits is partitioned" in reasons(found)[0]

    async def test_what_the_role_may_not_do(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("CREATE TABLE theirs (id int); CREATE SCHEMA apart")
        await admin.execute(f"REVOKE CREATE ON DATABASE {database} FROM zoo_migrator, PUBLIC")
        await admin.execute(f"ALTER DATABASE {database} OWNER TO postgres")
        checkout = checkout_with(
            tmp_path,
            schema="op.execute('CREATE SCHEMA more')",
            table="op.execute('CREATE TABLE apart.x (id int)')",
            theirs="op.execute('ALTER TABLE theirs ADD x int')",
            role="op.execute('CREATE ROLE somebody')",
            trusted="op.execute('CREATE EXTENSION vector')",
            missing="op.execute('CREATE EXTENSION nowhere')",
            there="op.execute('CREATE EXTENSION IF NOT EXISTS plpgsql')",
        )
        found = planned(server, database, checkout)
        told = reasons(found)
        assert told[0] == (
            "the role zoo_migrator may not create schemas: as the database's owner run "
            f"GRANT CREATE ON DATABASE {database} TO zoo_migrator"
        )
        assert told[1] == (
            "the role zoo_migrator may not create tables in apart: run GRANT CREATE ON SCHEMA apart TO zoo_migrator"
        )
        assert told[2] == "theirs does not belong to the role zoo_migrator, and only its owner may change it"
        assert "ALTER ROLE zoo_migrator CREATEROLE" in told[3]
        assert told[4] == "the role zoo_migrator may not create the extension vector: a superuser has to, before"
        assert told[5] == "the extension nowhere is not installed on the server"
        assert [found[0] for found in verdicts(found).values()][:6] == ["fails"] * 6
        assert verdicts(found)["there"] != ["fails"]


class TestWhoHoldsALock:
    @pytest.fixture(autouse=True)
    async def rows(self, admin: asyncpg.Connection) -> None:
        await admin.execute(ROWS)

    async def test_that_conflicts_is_named(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        checkout = checkout_with(tmp_path, column=ADD_COLUMN, other="op.execute('CREATE TABLE x (id int)')")
        async with admin.transaction():
            await admin.execute("SELECT FROM animals")
            found = planned(server, database, checkout)
            text = shown(server, database, checkout)
        assert verdicts(found) == {"column": ["careful"], "other": ["safe"]}
        (statement,) = found["revisions"][0]["statements"]
        (holder,) = statement["holders"]
        assert (holder["table"], holder["lock"]) == ("animals", "ACCESS SHARE")
        assert holder["session"].startswith(f"pid {admin.get_server_pid()} (")
        assert statement["reason"].endswith(" on animals, and reads and writes of animals behind it")
        assert f"ACCESS SHARE on animals is held by pid {admin.get_server_pid()} (" in text

    async def test_is_waited_for_by_what_runs_concurrently_until_no_writer_is_left(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        checkout = checkout_with(tmp_path, index=concurrently("ix_new"), column=ADD_COLUMN)
        async with admin.transaction():
            await admin.execute("UPDATE animals SET name = 'x' WHERE false")
            found = planned(server, database, checkout)
        assert verdicts(found) == {"index": ["careful"], "column": ["careful"]}
        assert reasons(found)[0].endswith(" on animals")

    async def test_is_not_waited_for_though_it_is_the_strongest(
        self, server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
    ) -> None:
        checkout = checkout_with(tmp_path, column=ADD_COLUMN)
        await admin.execute("ANALYZE animals")
        async with admin.transaction():
            await admin.execute("LOCK TABLE animals")
            found = planned(server, database, checkout)
        assert verdicts(found) == {"column": ["careful"]}
        (table,) = found["tables"]
        assert (table["name"], table["rows"], table["has_rows"]) == ("animals", 1000, True)


async def test_what_is_done_to_tables_of_the_plan_itself_is_nothing(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    await admin.execute(ROWS)
    checkout = checkout_with(
        tmp_path,
        made="op.create_table('places', sa.Column('id', sa.Integer), sa.Column('animal', sa.BigInteger))",
        used="op.create_index('ix_places', 'places', ['id'])\nop.execute('INSERT INTO places VALUES (1)')\n"
        "op.execute('ALTER TABLE places RENAME TO sites')\nop.execute('UPDATE sites SET id = 2')\n"
        "op.create_foreign_key('fk', 'sites', 'animals', ['animal'], ['id'])",
        renamed="op.rename_table('animals', 'beasts')\nop.execute('ALTER TABLE beasts ADD COLUMN x serial')",
    )
    found = planned(server, database, checkout)
    used, renamed = (each["statements"] for each in found["revisions"][1:])
    assert [[effect["table"] for effect in one["effects"]] for one in used] == [[], [], [], [], ["animals"]]
    assert [one["verdict"] for one in used] == ["safe"] * 5
    # The name differs, but the rows are the same.
    assert [one["verdict"] for one in renamed] == ["safe", "unsafe"]
    assert renamed[1]["reason"].startswith("reads and writes of beasts wait while this rewrites all of beasts")


def test_an_empty_database_gets_everything(server: Server, empty_database: str, tmp_path: Path) -> None:
    found = planned(server, empty_database, checkout_with(tmp_path))
    assert [each["revision"] for each in found["revisions"]] == REVISIONS
    assert (found["current"], found["head"], found["tables"]) == ([], REVISIONS[-1:], [])
    assert found["verdict"] == "safe"


def test_nothing_is_pending(server: Server, database: str, tmp_path: Path) -> None:
    checkout = checkout_with(tmp_path)
    found = planned(server, database, checkout)
    assert (found["revisions"], found["tables"], found["is_ahead"], found["verdict"]) == ([], [], False, "safe")
    assert (
        shown(server, database, checkout) == f"nothing to do: no revision is pending, the schema is at {REVISIONS[-1]}"
    )


async def test_the_database_is_ahead(server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection) -> None:
    await admin.execute("UPDATE alembic_version SET version_num = 'newer'")
    await admin.execute(
        "INSERT INTO migration_history (revision, direction, applied_at) VALUES ('newer', 'upgrade', now())"
    )
    checkout = checkout_with(tmp_path)
    assert planned(server, database, checkout)["is_ahead"] is True
    assert shown(server, database, checkout) == "nothing to do: the database is ahead of this release, at newer"


def test_what_can_not_be_told_is_said(server: Server, database: str, tmp_path: Path) -> None:
    checkout = checkout_with(
        tmp_path,
        asks="print(op.get_bind().execute(sa.text('SELECT 1')).scalar_one())",
        wrong="op.execute('ALTER TABEL animals ADD x int')",
        missing="op.execute('ALTER TABLE places ADD x int')",
        attributes={"wrong": {"phase": "contract", "safe_from_release": "9.0.0"}},
    )
    found = planned(server, database, checkout)
    asks, wrong, missing = found["revisions"]
    assert (asks["verdict"], asks["statements"]) == ("unknown", [])
    assert asks["problem"].startswith("AttributeError: ")
    assert (wrong["verdict"], wrong["problem"]) == ("unknown", None)
    assert wrong["statements"][0]["reason"].startswith("not understood: syntax error")
    assert missing["verdict"] == "unknown"
    assert missing["statements"][0]["reason"] == "places: does not exist now, and nothing in the plan creates it"
    text = shown(server, database, checkout)
    assert "asks asks: unknown what it does is not known before it runs: AttributeError" in text
    assert "a contract revision, not begun while a release before 9.0.0 is connected" in text


def test_the_shape_of_its_json(server: Server, database: str, tmp_path: Path) -> None:
    found = planned(server, database, checkout_with(tmp_path, column=ADD_COLUMN))
    assert sorted(found) == ["current", "head", "is_ahead", "revisions", "tables", "verdict"]
    (revision,) = found["revisions"]
    (statement,) = revision.pop("statements")
    assert revision == {
        "revision": "column",
        "subject": "column",
        "safe_from_release": None,
        "problem": None,
        "verdict": "safe",
    }
    assert statement == {
        "sql": "ALTER TABLE animals ADD COLUMN kind varchar(20)",
        "line": 7,
        "operation": None,
        "in_transaction": True,
        "block": 0,
        "existing_type": None,
        "effects": [
            {
                "table": "animals",
                "lock": "ACCESS EXCLUSIVE",
                "work": "none",
                "why": "kind is added without touching a row",
            }
        ],
        "holders": [],
        "verdict": "safe",
        "reason": "reads and writes of animals wait for an instant",
    }
