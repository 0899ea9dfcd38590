"""A page has a megabyte at most: if its records are large it ends earlier, and its Link continues from there."""

from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.crud import records
from api.crud.resources import RESOURCES
from api.database.json_rows import MAX_PAGE_BYTES
from tests.api.recorder import Recorder
from tests.api.records import make

GIRAFFE = "🦒"  # four bytes


async def pages(client: httpx.AsyncClient, path: str) -> list[list[dict[str, Any]]]:
    """The records of every page, from the first, along the Links, to the last."""
    found, url = [], path
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        records = page if isinstance(page, list) else next(iter(page.values()))  # {"name": [...]}
        assert len(answer.content) <= MAX_PAGE_BYTES + 200 or len(records) == 1
        found.append(records)
        url = answer.links.get("next", {}).get("url", "")
    assert all(found[:-1]), "an empty page, and more behind it"
    return found


@pytest.mark.parametrize(
    ("path", "lists"),
    [
        ("/exhibits", ["/exhibits"]),
        ("/animals", ["/animals", "/animals?exhibit_id={}", "/exhibits/{}/animals"]),
    ],
)
async def test_no_record_with_long_texts_is_left_out(
    client: httpx.AsyncClient, connection: AsyncConnection, path: str, lists: list[str]
) -> None:
    exhibit = None if path == "/exhibits" else (await make(client, "/exhibits"))["id"]
    reference, value = ("", "") if exhibit is None else (", exhibit_id", f", {exhibit}")
    made = await connection.execute(
        text(
            f"INSERT INTO {path[1:]} (name, description{reference})"
            f" SELECT 'A', repeat('{GIRAFFE}', 10000){value} FROM generate_series(1, 30) RETURNING id"
        )
    )
    ids = made.scalars().all()
    first = (await client.get(f"{path}/{ids[0]}")).json()
    for list_ in lists:
        for limit in ("limit=100", "limit=27"):
            url = list_.format(exhibit)
            found = await pages(client, f"{url}{'&' if '?' in url else '?'}{limit}")
            assert [len(page) for page in found] == [24, 6]  # of 40 KB each
            assert [record for page in found for record in page] == [first | {"id": id_} for id_ in ids]


async def test_a_page_that_fits_has_as_many_records_as_requested(client: httpx.AsyncClient) -> None:
    for size in (10_000, 100, 10_000):
        await make(client, "/animals", description=GIRAFFE * size)
    assert [len(page) for page in await pages(client, "/animals")] == [3]
    assert [len(page) for page in await pages(client, "/animals?limit=2")] == [2, 1]
    assert await pages(client, "/animals?after=9999999999") == [[]]


async def test_a_page_of_usual_size_is_one_statement(admin: asyncpg.Connection) -> None:
    for number in (0, 200):
        await admin.execute("INSERT INTO animals (name) SELECT 'A' FROM generate_series(1, $1::int)", number)
        recorder = Recorder(admin)
        await records.list_page(recorder, RESOURCES["animals"], RESOURCES["animals"].query())
        assert len(recorder.sent) == 1
