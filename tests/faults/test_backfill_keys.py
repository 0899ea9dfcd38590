"""The keys that a backfill follows: any that is unique, never NULL, and has an index in the key's order."""

from typing import Any

import asyncpg
import pytest

from alembic_online.backfill import Backfill
from alembic_online.backfill.batches import find_batches
from alembic_online.errors import ConfigurationError
from alembic_online.expressions import quote
from local.postgres import Server
from tests.alembic_online.backfilling import STATE, backfill, found, make_table, run_offline
from tests.alembic_online.operating import operate
from tests.conftest import superuser

# More than the first batch, so that a key is stored and read again.
ROWS = 2500
SCANS = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 't'"
# Types of keys, and expressions that make the keys.
KEYS = {
    "bigint": "n * 1000000000007",
    "uuid": "md5(n::text)::uuid",
    "text": "md5(n::text) || E'\\' \"ß,{}'",
    "varchar(40)": "md5(n::text)",
    "char(40)": "md5(n::text)",
    "timestamptz": "'2026-10-25 00:30+02'::timestamptz + n * interval '1.000001 s'",
    "timestamp": "CASE n WHEN 1 THEN '-infinity' ELSE '2026-03-01'::timestamp + n * interval '1.000001 s' END",
    "date": "'2026-01-02'::date + n",
    "numeric(20, 10)": "n / 7.0",
    "double precision": "CASE n WHEN 1 THEN 'NaN' ELSE n / 7.0::float8 END",
    "bytea": "decode(md5(n::text), 'hex')",
    "int[]": "ARRAY[n % 7, n, NULL]",
    "inet": "'10.0.0.0'::inet + n",
}


@pytest.mark.parametrize("offline", [False, True], ids=["online", "offline"])
class TestKeys:
    @pytest.mark.parametrize("type_", KEYS)
    async def test_of_any_type_are_followed_once(
        self, server: Server, database: str, admin: asyncpg.Connection, type_: str, offline: bool
    ) -> None:
        await admin.execute(f"ALTER DATABASE {database} SET DateStyle = 'SQL, DMY'")
        await admin.execute(f"ALTER DATABASE {database} SET TimeZone = 'Europe/Berlin'")
        await make_table(admin, f"key {type_} PRIMARY KEY, value int, copy int")
        await admin.execute(f"INSERT INTO t SELECT {KEYS[type_]}, n FROM generate_series(1, {ROWS}) n")
        await self.run(server, database, admin, Backfill("t", {"copy": "value"}, key=["key"]), offline)
        assert await admin.fetchval("SELECT count(*) FROM t WHERE copy = value") == ROWS

    async def test_of_several_columns_and_with_reserved_names(
        self, server: Server, database: str, admin: asyncpg.Connection, offline: bool
    ) -> None:
        await admin.execute('CREATE SCHEMA "Select" AUTHORIZATION zoo_migrator')
        await admin.execute(
            'CREATE TABLE "Select"."order" ("user" text, "Group" int, "end" date, "from" int, "to" int, '
            'PRIMARY KEY ("user", "Group", "end"))'
        )
        await admin.execute('ALTER TABLE "Select"."order" OWNER TO zoo_migrator')
        await admin.execute(
            "INSERT INTO \"Select\".\"order\" SELECT 'u' || n % 3, n % 5, '2026-01-01'::date + n, n"
            f" FROM generate_series(1, {ROWS}) n"
        )
        definition = Backfill("order", {"to": '"from"'}, key=["user", "Group", "end"], schema="Select")
        await self.run(server, database, admin, definition, offline)
        assert await admin.fetchval('SELECT count(*) FROM "Select"."order" WHERE "to" = "from"') == ROWS

    async def test_with_a_descending_index_are_followed(
        self, server: Server, database: str, admin: asyncpg.Connection, offline: bool
    ) -> None:
        await make_table(admin, "a int NOT NULL, b int NOT NULL, value int, copy int")
        await admin.execute("CREATE UNIQUE INDEX ON t (a DESC, b DESC) INCLUDE (value)")
        await admin.execute(f"INSERT INTO t SELECT n % 9, n, n FROM generate_series(1, {ROWS}) n")
        await self.run(server, database, admin, Backfill("t", {"copy": "value"}, key=["a", "b"]), offline)
        assert await admin.fetchval("SELECT count(*) FROM t WHERE copy = value") == ROWS

    async def test_are_read_from_their_index_though_the_planner_expects_half_of_the_table_in_a_batch(
        self, server: Server, database: str, admin: asyncpg.Connection, offline: bool
    ) -> None:
        await make_table(admin, "a int, b int, value int, copy int, PRIMARY KEY (a, b)")
        await admin.execute(f"INSERT INTO t SELECT n % 3, n, n FROM generate_series(1, {ROWS}) n")
        await admin.execute("ANALYZE t")
        await admin.execute("SELECT pg_stat_force_next_flush()")  # making the primary key is a scan, too
        before = await admin.fetchval(SCANS)
        await self.run(server, database, admin, Backfill("t", {"copy": "value"}, key=["a", "b"]), offline)
        await found(admin, "SELECT sum(n_tup_upd) > 0 FROM pg_stat_user_tables WHERE relname = 't'")
        assert await admin.fetchval(SCANS) == before

    async def run(
        self, server: Server, database: str, admin: asyncpg.Connection, definition: Backfill, offline: bool
    ) -> None:
        if offline:
            await run_offline(server, database, definition)
        else:
            await backfill(server, database, definition)
            state = await admin.fetchrow(STATE)
            assert (state["rows_seen"], state["rows_changed"]) == (ROWS, ROWS)
            assert state["cursor"] == state["upper_bound"]


class TestKeysThatAreRefused:
    @pytest.mark.parametrize(
        "columns",
        [
            "a int NOT NULL, b int NOT NULL",
            "a int NOT NULL, b int, UNIQUE (a, b)",
            "a int NOT NULL, b int NOT NULL, UNIQUE (b, a)",
            "a int NOT NULL, b int NOT NULL, c int, UNIQUE (a, b, c)",
            "a int PRIMARY KEY, b int NOT NULL",
            "a int, b int NOT NULL, UNIQUE (a, b)",
        ],
    )
    async def test_because_of_their_index(
        self, server: Server, database: str, admin: asyncpg.Connection, columns: str
    ) -> None:
        await make_table(admin, columns)
        await self.refused(server, database, Backfill("t", {"b": "1"}, key=["a", "b"]), r"no unique index on \(a, b\)")

    @pytest.mark.parametrize(
        "index", ["(a) WHERE a <> 'x'", "(lower(a))", "(a text_pattern_ops)", '(a COLLATE "C")', "(a NULLS FIRST)"]
    )
    async def test_because_of_the_order_of_their_index(
        self, server: Server, database: str, admin: asyncpg.Connection, index: str
    ) -> None:
        await make_table(admin, "a text NOT NULL, b int")
        await admin.execute(f"CREATE UNIQUE INDEX ON t {index}")
        await self.refused(server, database, Backfill("t", {"b": "1"}, key=["a"]), r"no unique index on \(a\)")

    async def test_because_a_not_null_is_not_validated(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await make_table(admin, "a text UNIQUE, b int")
        await admin.execute("ALTER TABLE t ADD NOT NULL a NOT VALID")
        await self.refused(server, database, Backfill("t", {"b": "1"}, key=["a"]), r"no unique index on \(a\)")

    async def test_because_the_build_of_their_index_was_interrupted(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await make_table(admin, "a text PRIMARY KEY, b int")
        await admin.execute("UPDATE pg_index SET indisvalid = false WHERE indrelid = 't'::regclass")
        await self.refused(server, database, Backfill("t", {"b": "1"}, key=["a"]), r"no unique index on \(a\)")

    @pytest.mark.parametrize(
        ("definition", "message"),
        [
            (Backfill("animls", {"name": "1"}), "no table animls"),
            (Backfill("animals", {"name": "1"}, schema="pg_catalog"), "no table pg_catalog.animals"),
            (Backfill("animals", {"nam": "1"}), "animals has no column nam"),
            (Backfill("animals", {"name": "1"}, key=["nr"]), "animals has no column nr"),
        ],
    )
    async def test_because_a_name_does_not_exist(
        self, server: Server, database: str, definition: Backfill, message: str
    ) -> None:
        await self.refused(server, database, definition, message)

    async def refused(self, server: Server, database: str, definition: Backfill, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            await backfill(server, database, definition)


@pytest.mark.parametrize("type_", ["date", "timestamp", "timestamptz"])
async def test_that_are_moments_are_kept_in_a_form_that_is_the_same_in_every_style(
    server: Server, database: str, admin: asyncpg.Connection, type_: str
) -> None:
    """A run may go on with what one in another style has kept."""
    await make_table(admin, f"key {type_} PRIMARY KEY, copy int")
    await admin.execute("INSERT INTO t VALUES ('2026-11-08')")
    kept: list[list[str]] = []

    def keep(op: Any) -> None:
        for style in ("SQL, DMY", "SQL, MDY", "ISO"):
            op.get_bind().exec_driver_sql(f"SET DateStyle = '{style}'")
            batches = find_batches(op.get_bind(), Backfill("t", {"copy": "1"}, key=["key"]))
            kept.append(op.get_bind().exec_driver_sql(batches.last_key).scalar())

    await operate(server, database, keep)
    assert kept[0] == kept[1] == kept[2]
    assert kept[0][0].startswith("2026-11-08")


async def test_names_that_are_keywords_are_quoted(server: Server, worker_database: str) -> None:
    admin = await superuser(server, worker_database)
    words = await admin.fetch("SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')")
    await admin.close()
    assert [word for (word,) in words if quote(word) != f'"{word}"'] == []


@pytest.mark.parametrize("type_", ["json", "xml"])
def test_values_of_a_type_without_an_equality_are_compared_as_text(type_: str) -> None:
    """Also where Postgres is built without XML."""
    assert "(page::text IS DISTINCT FROM" in Backfill("t", {"page": "text"}).update("true", {"page": type_})
