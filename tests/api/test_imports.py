"""`python -m api import`: all of a file, or nothing of it; and what is wrong, by line and field."""

import asyncio
import csv
import io
import os
import pty
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from typer.testing import CliRunner

from api.__main__ import app
from api.crud.imports import ImportRefused, load_csv
from local.postgres import Server
from tests.api.records import make
from tests.conftest import ROOT


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


async def test_an_exhibit_is_given_by_id_or_by_name(session: AsyncSession, client: httpx.AsyncClient) -> None:
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
async def test_what_the_api_refuses_is_refused(session: AsyncSession, name: str) -> None:
    assert (await refused(session, "animals", f"name\n{name}\n"))[0].startswith("line 2, name: ")


class TestCommand:
    @pytest.fixture
    def environment(self, server: Server, database: str) -> dict[str, str]:
        return server.environment(database)

    def run(self, environment: dict[str, str], *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        done = CliRunner().invoke(app, arguments, input=stdin, env=environment, catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    def test_loads_100_000_rows(self, environment: dict[str, str], tmp_path: Path) -> None:
        path = tmp_path / "animals.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["name"])
            writer.writerows([f"Animal {n}"] for n in range(100_000))
        assert self.run(environment, "import", "animals", str(path)) == (0, "100000 animals loaded\n", "")

    def test_reads_standard_input_and_a_byte_order_mark(self, environment: dict[str, str]) -> None:
        text = "\ufeffname\nÄnne\n".encode()
        assert self.run(environment, "import", "staff", "-", stdin=text) == (0, "1 staff loaded\n", "")

    def test_says_what_to_correct(self, environment: dict[str, str]) -> None:
        code, out, err = self.run(environment, "import", "animals", "-", stdin=b"name,exhibit\nA,Nowhere\n")
        assert (code, out) == (1, "")
        assert err.splitlines() == ["line 2, exhibit: no exhibit is named 'Nowhere'", "Nothing was loaded."]

    def test_refuses_another_encoding(self, environment: dict[str, str]) -> None:
        code, _, err = self.run(environment, "import", "animals", "-", stdin="name\nÄ\n".encode("latin-1"))
        assert code == 1
        assert "not UTF-8" in err

    @pytest.mark.parametrize("path", ["missing.csv", "."])
    def test_says_when_there_is_no_such_file(self, environment: dict[str, str], path: str) -> None:
        code, _, err = self.run(environment, "import", "animals", path)
        assert code == 1
        assert err.startswith(f"{path}: ")

    def test_says_when_the_database_is_away(self) -> None:
        away = {"DATABASE_URL": "postgresql://zoo_api@127.0.0.1:1/zoo"}
        code, _, err = self.run(away, "import", "animals", "-", stdin=b"name\nA\n")
        assert code == 1
        assert err.startswith("The database can't be reached")

    def test_says_which_setting_is_wrong(self) -> None:
        code, _, err = self.run({"DATABASE_URL": "mysql://somewhere"}, "seed")
        assert code == 1
        assert "postgresql://USER@HOST:PORT/DATABASE" in err

    def test_shows_a_bar_on_a_terminal(self, environment: dict[str, str], tmp_path: Path) -> None:
        path = tmp_path / "exhibits.csv"
        path.write_text("name\nA\n")
        ours, theirs = pty.openpty()
        done = subprocess.run(
            [sys.executable, "-m", "api", "import", "exhibits", str(path)],
            cwd=ROOT,
            env={**os.environ, **environment, "TERM": "xterm"},
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=True,
        )
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
        os.close(ours)
        assert "Loading exhibits" in shown
        assert "7/7 bytes" in shown
        assert done.stdout == b"1 exhibits loaded\n"


class TestSeed:
    @pytest.fixture
    def seed(self, server: Server, database: str) -> Callable[[], Awaitable[str]]:
        async def run() -> str:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "api", "seed",
                cwd=ROOT, env={**os.environ, **server.environment(database)}, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await process.communicate()
            assert process.returncode == 0
            return out.decode()

        return run

    async def test_fills_an_empty_zoo_once_even_when_two_try(
        self, seed: Callable[[], Awaitable[str]], committing_client: httpx.AsyncClient
    ) -> None:
        said = sorted(await asyncio.gather(seed(), seed()))
        assert said == ["8 exhibits, 69 animals, 14 staff loaded\n", "The zoo is not empty: nothing loaded\n"]
        assert len((await committing_client.get("/exhibits")).json()) == 8
        animals = (await committing_client.get("/animals")).json()
        assert len(animals) == 69
        assert all(animal["exhibit_id"] and animal["species"] for animal in animals)

    async def test_does_not_bring_back_what_was_deleted(
        self, seed: Callable[[], Awaitable[str]], committing_client: httpx.AsyncClient
    ) -> None:
        animal = await make(committing_client, "/animals")
        await committing_client.delete(f"/animals/{animal['id']}")
        assert await seed() == "The zoo is not empty: nothing loaded\n"
