"""Importing again, and exporting: what comes out goes in again."""

import csv
import io
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import Index, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud import exports
from api.crud.imports.load import Loaded, load_csv
from api.crud.imports.parents import ImportRefused
from api.crud.resources import RESOURCES
from api.schemas.text import Line, Name, Prose
from tests.api.records import Resource, complete, every_resource, make

TEXTS = [
    "plain", "=1+1", "+44 20 7946 0958", "-7", "@SUM(A1)", "'quoted", "'=1", "''+1", "\uff1d1", "\uff0b1", "\uff0d1",
    "\uff201", 'a "b", c', "Zo\u00eb", "a;b", "null",
]  # fmt: skip


async def update(session: AsyncSession, resource: str, file: str | bytes) -> Loaded:
    file = file if isinstance(file, bytes) else file.encode()
    loaded = await load_csv(session, RESOURCES[resource], io.BytesIO(file), update=True)
    await session.commit()
    return loaded


async def refused(session: AsyncSession, resource: str, file: str) -> list[str]:
    with pytest.raises(ImportRefused) as caught:
        await update(session, resource, file)
    return list(caught.value.findings)


@every_resource
async def test_what_comes_out_goes_in_again(
    session: AsyncSession, client: httpx.AsyncClient, resource: Resource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE_ROWS", 2)
    path, name = resource.path, resource.name
    names, proses = resource.of_kind(Name, Line), resource.of_kind(Prose)
    made = [
        await make(client, path, **dict.fromkeys(names, "=1+1"), **dict.fromkeys(proses, "-7\r\n\tx")),
        *[await make(client, path, **await complete(client, resource)) for _ in range(2)],
        await make(client, path, **dict.fromkeys(set(names) & set(resource.optional) - resource.unique, "")),
    ]
    gone = await make(client, path)
    await client.delete(f"{path}/{gone['id']}")
    answer = await client.get(f"{path}.csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
    assert await update(session, name, answer.content) == Loaded(same=len(made))
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert [int(row["id"]) for row in rows] == [record["id"] for record in made]
    assert (await client.get(path)).json() == made


async def test_no_text_that_comes_out_is_a_formula_and_each_goes_in_as_it_was(
    session: AsyncSession, client: httpx.AsyncClient
) -> None:
    made = [
        *[await make(client, "/animals", name=text, species=text, description=f"{text}\r\n\tx") for text in TEXTS],
        *[await make(client, "/animals", species="", description=text) for text in ("\ta", "\r\na", "\na", "-a")],
    ]
    file = (await client.get("/animals.csv")).content
    assert await update(session, "animals", file) == Loaded(same=len(made))
    rows = list(csv.DictReader(io.StringIO(file.decode("utf-8-sig"), newline="")))
    assert not [cell for row in rows for cell in row.values() if cell[:1] in set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")]
    assert (await client.get("/animals")).json() == made


@every_resource
async def test_an_export_without_records_has_a_header(client: httpx.AsyncClient, resource: Resource) -> None:
    (header,) = (await client.get(f"{resource.path}.csv")).content.decode("utf-8-sig").splitlines()
    assert header.split(",") == resource.api.exported


@pytest.fixture
async def animals(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return [await make(client, "/animals", name=name, species="S", description="D") for name in "ABC"]


async def test_only_the_columns_of_the_file_change_and_it_says_how_many(
    session: AsyncSession, client: httpx.AsyncClient, animals: list[dict[str, Any]]
) -> None:
    a, b, c = animals
    file = f"id,name,species\n{a['id']},A,S\n{b['id']},B2,\n,D,New\n"
    assert await update(session, "animals", file) == Loaded(new=1, changed=1, same=1)
    found = (await client.get("/animals")).json()
    assert found[:3] == [a, b | {"name": "B2", "species": None, "updated_at": found[1]["updated_at"]}, c]
    assert found[1]["updated_at"] > b["updated_at"]
    assert (found[3]["name"], found[3]["species"], found[3]["description"]) == ("D", "New", None)
    assert await update(session, "animals", f"id,name,species\n{b['id']},B2,\n") == Loaded(same=1)
    assert await update(session, "animals", f"id;species\n{c['id']} ;T\n") == Loaded(changed=1)
    await client.patch(f"/animals/{c['id']}", json={"species": ""})
    assert await update(session, "animals", f"id,species\n{c['id']},\n") == Loaded(same=1)
    assert await update(session, "animals", f"id,species\n{c['id']},S\n") == Loaded(changed=1)


async def test_what_can_not_be_updated_is_told_by_line(
    session: AsyncSession, client: httpx.AsyncClient, animals: list[dict[str, Any]]
) -> None:
    a, b, c = (animal["id"] for animal in animals)
    await client.delete(f"/animals/{c}")
    file = f"id,name\n{a},A\n{a},A2\n{b},\nx,B\n0,B\n{2**63},B\n"
    assert [finding.partition(":")[0] for finding in await refused(session, "animals", file)] == [
        "line 3, id", "line 4, name", "line 5, id", "line 6, id", "line 7, id",
    ]  # fmt: skip
    await session.rollback()
    gone = await refused(session, "animals", f"id,name\n{a},A2\n{c},C2\n{2**62},D\n,E\n")
    assert [finding.partition(":")[0] for finding in gone] == ["line 3, id", "line 4, id"]
    await session.rollback()
    assert (await refused(session, "animals", "id,species\n,S\n"))[0].startswith("line 2, name")
    await session.rollback()
    assert "no column says which records" in (await refused(session, "animals", "name\nA\n"))[0]
    assert (await client.get(f"/animals/{a}")).json()["name"] == "A"


async def test_a_unique_field_says_which_record(session: AsyncSession, client: httpx.AsyncClient) -> None:
    table = RESOURCES["animals"].table
    index = Index("uq_animals_species", table.c.species, unique=True, postgresql_where=text("deleted_at IS NULL"))
    try:
        record = await make(client, "/animals", name="A", species="a", description="1")
        file = "species,description,name\na,2,A\nb,3,B\n,4,C\n"
        assert await update(session, "animals", file) == Loaded(new=2, changed=1)
        assert (await client.get(f"/animals/{record['id']}")).json()["description"] == "2"
        again = await update(session, "animals", file.removesuffix(",4,C\n"))
        assert again == Loaded(same=2)
        (found,) = await refused(session, "animals", "name\nA\n")
        assert found == "line 1: no column says which records are to be updated: id or species"
        assert (await refused(session, "animals", "species,name\na,\n"))[0].startswith("line 2, name: ")
    finally:
        table.indexes.remove(index)


async def test_each_of_many_records_is_exported_once(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    await admin.execute("INSERT INTO animals (name) SELECT 'A' FROM generate_series(1, 2500)")
    lines = (await committing_client.get("/animals.csv")).text.splitlines()
    assert len(lines) == len(set(lines)) == 2501
