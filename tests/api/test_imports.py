"""Loading CSV: all of a file, or nothing; errors are reported by line and field."""

import gc
import io
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.imports import batches
from api.crud.imports.load import load_csv
from api.crud.imports.parents import ImportRefused
from api.crud.resources import RESOURCES
from api.database.engine import transaction
from api.settings import Settings
from local.postgres import Server
from tests.api.records import make
from tests.each import each


async def load(session: AsyncSession, resource: str, file: str | bytes) -> int:
    loaded = await load_csv(
        session, RESOURCES[resource], io.BytesIO(file if isinstance(file, bytes) else file.encode())
    )
    await session.commit()
    return loaded.new


async def refused(session: AsyncSession, resource: str, file: str | bytes) -> list[str]:
    with pytest.raises(ImportRefused) as caught:
        await load(session, resource, file)
    assert str(caught.value) == "\n".join(caught.value.findings)
    return list(caught.value.findings)


def read(file: str | bytes) -> list[tuple[Any, ...]]:
    """The values of the animals of a file, without a database."""
    rows = io.BytesIO(file if isinstance(file, bytes) else file.encode())
    return [
        values for batch in batches.Batches(rows, RESOURCES["animals"], {}, update=False) for values in batch.values
    ]


def unread(file: str | bytes) -> list[str]:
    """Why it can't be read, whatever the database has."""
    with pytest.raises(ImportRefused) as caught:
        read(file)
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
    await load(session, "animals", "exhibit,name\nSavanna,C\n,D\n")
    assert [record["exhibit_id"] for record in (await client.get("/animals")).json()] == [exhibit["id"], None] * 2


async def test_a_bad_row_names_its_line_and_field_and_nothing_is_loaded(
    session: AsyncSession, client: httpx.AsyncClient
) -> None:
    text = f'name,species,exhibit_id\nA,S,\n"B\n",{"x" * 201},\n,S,x\nD\nE,,77\n'
    findings = await refused(session, "animals", text)
    assert [finding.partition(": ")[0] for finding in findings] == [
        "line 3, species",
        "line 5, name",
        "line 5, exhibit_id",
        "line 6",
        "line 7, exhibit_id",
    ]
    assert findings[-1] == "line 7, exhibit_id: no exhibit 77"
    assert (await client.get("/animals")).json() == []


@pytest.mark.parametrize("update", [False, True], ids=["new records", "an update"])
async def test_of_the_batches_before_a_bad_row_nothing_stays_whatever_the_caller_does(
    session: AsyncSession, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, update: bool
) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 2)
    made = [await make(client, "/animals", name=f"before {n}") for n in range(6)]
    rows = "".join(f"{animal['id']},after\n" for animal in made) if update else ",after\n" * 6
    file = f"{'id' if update else 'species'},name\n{rows},{'x' * 201}\n"
    with pytest.raises(ImportRefused, match="line 8, name"):
        await load_csv(session, RESOURCES["animals"], io.BytesIO(file.encode()), update=update)
    await session.commit()
    assert (await client.get("/animals")).json() == made


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


@each(
    "text, finding",
    [
        ("", "no header"),
        ("n", "unknown field 'n'"),
        ("\x00", "unknown field '\\x00'"),
        ("name,na\x01me\n", "unknown field 'na\\x01me'"),
        ("colour,name\n", "unknown field 'colour'; known: description, exhibit, exhibit_id, name, species"),
        ("description\n", "name is missing"),
        ("name,name\n", "name stands there twice"),
        ("name,exhibit,exhibit_id\n", "exclude each other"),
    ],
)
def test_a_header_that_cannot_be_used(text: str, finding: str) -> None:
    findings = unread(text)
    assert findings[0].startswith("line 1: ")
    assert finding in findings[0]


@each(
    "text, why",
    [
        ('name\n"A', 'a quotation mark (") opens a cell and is not closed'),
        ('name\n"A"B\n', 'something follows a closing quotation mark ("); inside of a cell it is doubled ("")'),
        (
            'name,species\n"A" ,"B\n',
            'something follows a closing quotation mark ("); inside of a cell it is doubled ("")',
        ),
        ("name\n" + "x" * 200_000, 'a cell has more than 131,072 characters: is its quotation mark (") closed?'),
    ],
)
def test_text_that_is_not_csv(text: str, why: str) -> None:
    assert unread(text) == [f"line 2: not CSV: {why}"]


async def test_findings_are_bounded_and_the_rest_is_not_read(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 20)
    findings = await refused(session, "animals", "name,exhibit_id\n" + "A,1\n" * 40 + '"B"C\n')
    assert findings == [f"line {line}, exhibit_id: no exhibit 1" for line in range(2, 22)]


def test_a_batch_has_so_many_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 4)
    rows = io.BytesIO(b"name,species\nA,B\nC,D\nEFGH,\nI,JK\nL,\n")
    read = batches.Batches(rows, RESOURCES["animals"], {}, update=False)
    assert [batch.lines for batch in read] == [[2, 3], [4], [5, 6]]


async def test_an_import_leaves_the_collection_of_garbage_as_it_was(session: AsyncSession) -> None:
    gc.enable()
    try:
        await load(session, "animals", "name\nA\n")
        assert gc.isenabled()
    finally:
        gc.disable()


@pytest.mark.parametrize(
    ("name", "why"),
    [("A\x00B", "must not contain the NUL character"), ("x" * 201, "String should have at most 200 characters")],
)
def test_a_value_that_the_api_refuses_is_refused(name: str, why: str) -> None:
    assert unread(f"name\n{name}\n") == [f"line 2, name: {why}"]


ROWS = [("Amara", "Giraffa; camelopardalis"), ("Zoë, 2", 'The "best"'), ("Kit", None)]
COMMA = 'name,species\nAmara,Giraffa; camelopardalis\n"Zoë, 2","The ""best"""\nKit,\n'


@each(
    "file",
    [
        COMMA,
        COMMA.encode("utf-8-sig"),
        COMMA.encode("utf-16"),
        COMMA.encode("utf-16-le"),
        COMMA.encode("utf-16-be"),
        b"\xfe\xff" + COMMA.encode("utf-16-be"),
        COMMA.replace("\n", "\r\n"),
        COMMA.replace("\n", "\r"),
        COMMA.removesuffix("\n"),
        'name;species\nAmara;"Giraffa; camelopardalis"\n"Zoë, 2";"The ""best"""\nKit;\n',
        'name\tspecies\nAmara\tGiraffa; camelopardalis\nZoë, 2\t"The ""best"""\nKit\t\n',
        'name\tspecies\n"Amara" \t "Giraffa; camelopardalis" \n"Zoë, 2"\t"The ""best"""\nKit\t\n',
        'name,species\n"Amara"\t,\t"Giraffa; camelopardalis"\t\n"Zoë, 2","The ""best"""\nKit,\n',
        'name|species\nAmara|Giraffa; camelopardalis\nZoë, 2|"The ""best"""\nKit|\n',
        'sep=;\nname;species\nAmara;"Giraffa; camelopardalis"\nZoë, 2;"The ""best"""\nKit;\n',
        '"SEP=,"\r\nname,species\r\nAmara,Giraffa; camelopardalis\r\n"Zoë, 2","The ""best"""\r\nKit,\r\n',
        'sep=^\nname^species\nAmara^Giraffa; camelopardalis\nZoë, 2^"The ""best"""\nKit^\n',
        ' NAME , "Species"\n"Amara" , "Giraffa; camelopardalis"\n "Zoë, 2" ,"The ""best""" \n Kit , \n',
        '\n,,\nname,,species,\n,,,\nAmara,,Giraffa; camelopardalis,\n\n"Zoë, 2", ,"The ""best"""\nKit,,,\n , ,"",\n',
        'name,species\nAmara,Giraffa; camelopardalis,,\n"Zoe\u0308, 2","The ""best"""\nKit,\u200b\n',
    ],
)
def test_csv_is_read_as_spreadsheets_and_people_write_it(file: str | bytes) -> None:
    assert read(file) == ROWS


async def test_a_cell_with_blanks_around_its_quotes_may_have_several_lines(
    session: AsyncSession, client: httpx.AsyncClient
) -> None:
    await load(session, "animals", 'name,description\n"A" ,"one,\n ""two"" ,\n" \nB,"x" \n')
    records = (await client.get("/animals")).json()
    assert [record["description"] for record in records] == ['one,\n "two" ,\n', "x"]
    assert await refused(session, "animals", 'name,description\n"A" ,"one\ntwo"\n,x\n') == [
        "line 4, name: Field required"
    ]


@pytest.mark.parametrize("header", ["Exhibit ID;NAME;Spe-cies", "exhibit-id;name;species"])
def test_a_header_is_known_in_any_case(header: str) -> None:
    file = f"{header}\n;Amara;S\n"
    if "Spe-cies" in header:
        assert "unknown field 'spe_cies'" in unread(file)[0]
    else:
        assert read(file) == [(None, "Amara", "S")]


@each(
    "file, finding",
    [
        ("name\nAmara\nZo\u00eb\n".encode("latin-1"), "line 3, character 3: byte 0xEB is not UTF-8, which is 'ë'"),
        ("name\n\u20ac\n".encode("cp1252"), "line 2, character 1: byte 0x80 is not UTF-8, which is '€'"),
        ("name\n\u6771\n".encode("shift-jis"), "line 2, character 1: byte 0x93"),
        (b"name\n\x81\n", "line 2, character 1: byte 0x81 is not UTF-8: save it as"),
        (b"\xff\xfen\x00a\x00m", "after line 0: not UTF-16"),
        (b"\xff\xfen\x00a\x00\xeb", "after line 0: not UTF-16"),
        (b"PK\x03\x04\x14\x00", "this is an Excel or OpenDocument file"),
        (b"\xd0\xcf\x11\xe0\xa1", "this is an old Excel file"),
        (b"\x1f\x8b\x08\x00", "this is a file compressed by gzip"),
    ],
)
def test_what_can_not_be_read_says_where_and_how_to_save_it(file: bytes, finding: str) -> None:
    (found,) = unread(file)
    assert found.startswith(finding)
    assert "UTF-8" in found.partition(": ")[2]


@each(
    "file, finding",
    [
        ("name,\nAmara,Giraffa\n", "line 2: cell 2 has text, but no name in the header"),
        ("name\nAmara,Giraffa\n", "line 2: 2 cells, but the header has 1"),
        ("name,species\nAmara\n", "line 2: 1 cells, but the header has 2"),
        ("exhibit_id,name\n77\n", "line 2: 1 cells, but the header has 2"),
        ("name,,exhibit_id\nAmara,Giraffa,77\n", "line 2: cell 2 has text, but no name in the header"),
        ('name\nA\n"B\nC\n', "line 3: not CSV: a quotation mark"),
        ('name\nA\n"B"C\n', "line 3: not CSV: something follows a closing quotation mark"),
        ("name\n" + "x" * 2**20, "line 2: longer than"),
        ("id,name\n7,A\n", "line 1: the database gives records their id: leave the column out, or use --update"),
    ],
)
def test_what_is_wrong_is_told_by_line(file: str, finding: str) -> None:
    (found,) = unread(file)
    assert found.startswith(finding)


async def test_what_is_unique_is_told_by_line_with_the_record_that_has_it(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, server: Server, database: str
) -> None:
    await admin.execute("CREATE UNIQUE INDEX uq_animals_species ON animals (species) WHERE deleted_at IS NULL")
    record, other = [await make(committing_client, "/animals", species=species) for species in ("A", "B")]
    has_it = f"species: animals {record['id']} has the same"
    # With an id a row changes a record, and Postgres says no line.
    for file, finding in (
        ("name,species\nC,C\n\nA,A\n", f"line 4, {has_it}"),
        (f"id,name,species\n{other['id']},B,A\n", has_it),
        (f"id,name,species\n{other['id']},B,C\n,A,A\n", has_it),
    ):
        with pytest.raises(ImportRefused) as caught:
            async with transaction(Settings(database_url=server.url("zoo_api", database))) as session:
                await load_csv(session, RESOURCES["animals"], io.BytesIO(file.encode()), update="id" in file)
        assert caught.value.findings == [finding]
    assert (await committing_client.get("/animals")).json() == [record, other]
