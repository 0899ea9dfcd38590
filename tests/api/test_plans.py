"""Pages of large tables, by the plans that prepared statements have in the long run: without looking at the values."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from api.crud import records
from api.crud.resources import RESOURCES
from api.database.counts import Count
from api.schemas.fields import PageQuery
from local.postgres import Server
from tests.api.recorder import Recorder
from tests.api.test_lists import most_rows
from tests.conftest import clone, drop, superuser

ANIMALS = 20_000
RESOURCE = RESOURCES["animals"]
PAGE_AND_ONE_MORE = 101
FIND_THREE = [
    "species=rare&sort=name",
    "species=rare&sort=-created_at",
    "name=Rare&sort=updated_at",
    "q=xyz",
    "q=xyz&sort=-name",
]
FIND_HALF = ["species=common&sort=name", "q=mm", "q=mm&sort=name"]


@pytest.fixture(scope="module")
async def many(server: Server, maintenance: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """Many animals: half of them of one species and with one name, and three others, the last ones in each order.

    They are only read: all tests share them.
    """
    name = await clone(maintenance)
    admin = await superuser(server, name)
    await admin.execute(
        "INSERT INTO animals (name, species, created_at, updated_at)"
        " SELECT CASE WHEN n > $1 - 3 THEN 'Xyz' WHEN n % 2 = 0 THEN 'Amma' ELSE 'Bo ' || n END,"
        " CASE WHEN n > $1 - 3 THEN 'rare' WHEN n % 2 = 0 THEN 'common' ELSE 's' || n % 50 END, at, at"
        " FROM generate_series(1, $1::int) AS n, LATERAL (SELECT timestamptz '2020-01-01' + n * interval '1 s') t (at)",
        ANIMALS,
    )
    await admin.execute(
        "UPDATE animals SET created_at = '2019-01-01', name = 'Rare' WHERE id = (SELECT max(id) FROM animals)"
    )
    await admin.execute("ANALYZE animals")
    yield admin
    await admin.close()
    await drop(maintenance, name)


async def rows_read(connection: asyncpg.Connection, statement: str, values: tuple[Any, ...]) -> float:
    """The most rows that a step of the plan has, if the plan is made without knowing the values."""
    quoted = ", ".join([await connection.fetchval("SELECT quote_nullable($1::text)", str(value)) for value in values])
    await connection.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE page AS {statement}")
    try:
        plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON, ANALYZE, TIMING OFF) EXECUTE page ({quoted})")
    finally:
        await connection.execute("DEALLOCATE page; RESET plan_cache_mode")
    found = json.loads(plan)[0]["Plan"]
    return most_rows(found) + most_removed(found)


def most_removed(plan: dict[str, Any]) -> float:
    """The most rows that a step reads and leaves out."""
    return max([float(plan.get("Rows Removed by Filter", 0)), *map(most_removed, plan.get("Plans", []))])


def query_of(text: str) -> PageQuery:
    return RESOURCE.query(**dict(part.split("=") for part in text.split("&")))


async def test_a_search_that_is_counted_is_planned_once(admin: asyncpg.Connection) -> None:
    recorder = Recorder(admin)
    page = await records.list_page(recorder, RESOURCE, query_of("q=xyz&count=true"))
    assert (page.records, page.total) == ("[]", Count(0, is_exact=True))
    assert sum(sql.startswith("EXPLAIN") for sql, _ in recorder.sent) == 1


async def test_what_an_index_finds_in_this_order_is_not_estimated(admin: asyncpg.Connection) -> None:
    recorder = Recorder(admin)
    await records.list_page(recorder, RESOURCE, query_of("name=Xyz&sort=-id"))
    assert len(recorder.sent) == 1


@pytest.mark.parametrize("text", [*FIND_THREE, *FIND_HALF])
async def test_a_page_reads_little_more_than_it_has_however_much_its_filter_finds(
    many: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(records, "FEW", 1_000)
    recorder = Recorder(many)
    page = await records.list_page(recorder, RESOURCE, query_of(text))
    assert len(json.loads(page.records)) == (
        100 if text in FIND_HALF else 3 - ("q=xyz" in text) - 2 * ("name=" in text)
    )
    assert await rows_read(many, *recorder.sent[-1]) < 3 * PAGE_AND_ONE_MORE
