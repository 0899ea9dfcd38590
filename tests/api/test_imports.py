"""Loading CSV: all of a file, or nothing; errors are reported by line and field."""

import io

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.imports import ImportRefused, load_csv
from tests.api.records import make


async def load(session: AsyncSession, resource: str, text: str) -> int:
    count = await load_csv(session, resource, io.StringIO(text, newline=""))
    await session.commit()
    return count


async def refused(session: AsyncSession, resource: str, text: str) -> list[str]:
    with pytest.raises(ImportRefused) as caught:
        await load(session, resource, text)
    return list(caught.value.findings)


async def test_rows_become_records(session: AsyncSession, client: httpx.AsyncClient) -> None:
    text = 'name,description,location\r\nSavanna,"Wide,\r\nand dry",North\r\n\r\nNight House,,\r\n'
    assert await load(session, "exhibits", text) == 2
    savanna, night_house = (await client.get("/exhibits")).json()
    assert (savanna["name"], savanna["description"], savanna["location"]) == ("Savanna", "Wide,\r\nand dry", "North")
    assert (night_house["description"], night_house["location"]) == (None, None)


async def test_an_exhibit_is_named_by_id_or_by_name(session: AsyncSession, client: httpx.AsyncClient) -> None:
    exhibit = await make(client, "/exhibits", name="Savanna")
    await load(session, "animals", f"name,exhibit_id\nA,{exhibit['id']}\nB,\n")
    await load(session, "staff", "exhibit,name\nSavanna,C\n,D\n")
    animals, staff = (await client.get("/animals")).json(), (await client.get("/staff")).json()
    assert [record["exhibit_id"] for record in animals + staff] == [exhibit["id"], None] * 2


async def test_a_bad_row_names_its_line_and_field_and_nothing_is_loaded(
    session: AsyncSession, client: httpx.AsyncClient
) -> None:
    text = 'name,email,exhibit_id\nA,a@zoo.example,\n"B\n",b,\n,c@zoo.example,x\nD\nE,,77\n'
    findings = await refused(session, "staff", text)
    await session.rollback()
    assert [finding.partition(": ")[0] for finding in findings] == [
        "line 3, email",
        "line 5, exhibit_id",
        "line 5, name",
        "line 6",
        "line 7, exhibit_id",
    ]
    assert findings[-1] == "line 7, exhibit_id: no exhibit 77"
    assert (await client.get("/staff")).json() == []


async def test_an_ambiguous_or_unknown_or_deleted_exhibit_is_refused(
    session: AsyncSession, client: httpx.AsyncClient
) -> None:
    for _ in range(2):
        await make(client, "/exhibits", name="Twin")
    gone = await make(client, "/exhibits", name="Gone")
    await client.delete(f"/exhibits/{gone['id']}")
    findings = await refused(session, "animals", "name,exhibit\nA,Twin\nB,Gone\nC,Nowhere\n")
    assert findings == [
        "line 2, exhibit: 2 exhibits are named 'Twin': use exhibit_id",
        "line 3, exhibit: no exhibit is named 'Gone'",
        "line 4, exhibit: no exhibit is named 'Nowhere'",
    ]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "no header"),
        ("colour,name\n", "unknown field 'colour'"),
        ("description\n", "name is missing"),
        ("name,name\n", "name stands there twice"),
        ("name,exhibit,exhibit_id\n", "exclude each other"),
    ],
)
async def test_a_header_that_cannot_be_used(session: AsyncSession, text: str, finding: str) -> None:
    findings = await refused(session, "animals", text)
    assert findings[0].startswith("line 1: ")
    assert finding in findings[0]


@pytest.mark.parametrize("text", ['name\n"A', 'name\n"A"B\n', "name\n" + "x" * 200_000])
async def test_text_that_is_not_csv(session: AsyncSession, text: str) -> None:
    findings = await refused(session, "animals", text)
    assert findings[0].startswith("line 2")


async def test_findings_are_bounded(session: AsyncSession) -> None:
    assert len(await refused(session, "animals", "name,exhibit_id\n" + "A,1\n" * 1000)) == 20


@pytest.mark.parametrize("name", ["A\x00B", "x" * 201])
async def test_a_value_that_the_api_refuses_is_refused(session: AsyncSession, name: str) -> None:
    assert (await refused(session, "animals", f"name\n{name}\n"))[0].startswith("line 2, name: ")
