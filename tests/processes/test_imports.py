"""`python -m api import` and `seed`, as processes."""

import asyncio
import csv
import os
import pty
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from api.__main__ import app
from local.postgres import Server
from tests import python
from tests.api.records import make
from tests.rounds import ROUNDS, rounds

ROWS = rounds(quick=10_000, full=100_000)
LONG_ROWS = rounds(quick=2_000, full=10_000)
EXPORTED_ROWS = rounds(quick=20_000, full=100_000)  # of 2 kB
MIB = 2**20


class TestCommand:
    @pytest.fixture
    def environment(self, server: Server, database: str) -> dict[str, str]:
        return server.environment(database)

    def run(self, environment: dict[str, str], *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        done = CliRunner().invoke(app, arguments, input=stdin, env=environment, catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    def test_loads_rows_by_the_thousand(self, environment: dict[str, str], tmp_path: Path) -> None:
        path = tmp_path / "animals.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["name"])
            writer.writerows([f"Animal {n}"] for n in range(ROWS))
        assert self.run(environment, "import", "animals", str(path)) == (0, f"{ROWS} animals loaded\n", "")

    def test_reads_standard_input_and_a_byte_order_mark(self, environment: dict[str, str]) -> None:
        text = "\ufeffname\nÄnne\n".encode()
        assert self.run(environment, "import", "exhibits", "-", stdin=text) == (0, "1 exhibits loaded\n", "")

    def test_says_what_to_correct(self, environment: dict[str, str]) -> None:
        code, out, err = self.run(environment, "import", "animals", "-", stdin=b"name,exhibit\nA,Nowhere\n")
        assert (code, out) == (1, "")
        assert err.splitlines() == ["line 2, exhibit: no exhibit is named 'Nowhere'", "Nothing was loaded."]

    async def test_of_a_file_whose_last_row_is_bad_nothing_is_loaded(
        self, environment: dict[str, str], admin: asyncpg.Connection
    ) -> None:
        rows = b"name\n" + b"Amara\n" * 12_000 + b"x" * 201  # several batches are good
        code, out, err = await asyncio.to_thread(self.run, environment, "import", "animals", "-", stdin=rows)
        assert (code, out, err.splitlines()[-1]) == (1, "", "Nothing was loaded.")
        assert err.startswith("line 12002, name: ")
        assert await admin.fetchval("SELECT count(*) FROM animals") == 0

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
        assert code == 4
        assert err.startswith("The database can't be reached")

    def test_says_which_setting_is_wrong(self) -> None:
        code, _, err = self.run({"DATABASE_URL": "mysql://somewhere"}, "seed")
        assert code == 3
        assert "postgresql://USER@HOST:PORT/DATABASE" in err

    def test_shows_a_bar_on_a_terminal(self, environment: dict[str, str], tmp_path: Path) -> None:
        path = tmp_path / "exhibits.csv"
        path.write_text("name\nA\n")
        ours, theirs = pty.openpty()
        env = {**os.environ, **environment, "TERM": "xterm"}
        command = ("api", "import", "exhibits", str(path))
        with python.Python(*command, env=env, stdout=subprocess.PIPE, stderr=theirs) as process:
            os.close(theirs)
            shown = b""
            with suppress(OSError):  # a terminal that nobody writes to any more
                while part := os.read(ours, 65536):
                    shown += part
            assert process.communicate()[0] == b"1 exhibits loaded\n"
        os.close(ours)
        assert b"Loading exhibits" in shown
        assert b"7/7 bytes" in shown

    def test_updates_says_what_it_would_do_and_exports(self, environment: dict[str, str]) -> None:
        assert self.run(environment, "import", "animals", "-", "--dry-run", stdin=b"name\nA\n") == (
            0, "1 animals would be loaded\n", "",
        )  # fmt: skip
        self.run(environment, "import", "animals", "-", stdin=b"name,species\nA,=S\nB,\n")
        code, exported, err = self.run(environment, "export", "animals")
        assert (code, err, len(exported.splitlines())) == (0, "", 3)
        changed = exported.replace("B", "B2").encode() + b",C,,,,,\r\n"
        for option, would in (("--dry-run", "would be "), ("--update", "")):
            assert self.run(environment, "import", "animals", "-", "--update", option, stdin=changed) == (
                0, f"animals: 1 {would}new, 1 {would}changed, 1 the same\n", "",
            )  # fmt: skip
        code, out, err = self.run(environment, "import", "animals", "-", stdin=exported.encode())
        assert (code, out) == (1, "")
        assert "--update" in err

    async def test_memory_is_bounded_however_long_the_rows_and_however_many(
        self, environment: dict[str, str], admin: asyncpg.Connection, tmp_path: Path
    ) -> None:
        path = tmp_path / "animals.csv"
        with path.open("w") as file:
            file.write("name,description\n")
            file.writelines(f"A{n},{chr(0x6771) * 10_000}\n" for n in range(LONG_ROWS))  # of 30 kB
        few, _ = await asyncio.to_thread(run_measured, environment, "export", "exhibits")
        peak, _ = await asyncio.to_thread(run_measured, environment, "import", "animals", str(path))
        assert peak - few < 60 * MIB
        await admin.execute(
            "INSERT INTO exhibits (name, description) SELECT 'A', repeat('x', 2000) FROM generate_series(1, $1::int)",
            EXPORTED_ROWS,
        )
        many, lines = await asyncio.to_thread(run_measured, environment, "export", "exhibits")
        assert lines == EXPORTED_ROWS + 1
        assert many - few < 30 * MIB
        if ROUNDS == "full":  # it takes as many rows to see that they are read page by page
            peak, lines = await asyncio.to_thread(run_measured, environment, "export", "animals")
            assert lines == LONG_ROWS + 1
            assert peak < 400 * MIB


def run_measured(environment: dict[str, str], *arguments: str) -> tuple[int, int]:
    """The peak memory of a command, in bytes, and how many lines it has written."""
    process = python.Python("api", *arguments, env=os.environ | environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as written:
        lines = sum(1 for _ in written)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * 1024, lines


class TestSeed:
    @pytest.fixture
    def seed(self, server: Server, database: str) -> Callable[[], Awaitable[str]]:
        async def run() -> str:
            env = os.environ | server.environment(database)
            done = await asyncio.to_thread(python.run, "api", "seed", env=env)
            assert done.returncode == 0, done.stderr
            return str(done.stdout)

        return run

    async def test_fills_an_empty_zoo_once_even_when_two_try(
        self, seed: Callable[[], Awaitable[str]], committing_client: httpx.AsyncClient
    ) -> None:
        said = sorted(await asyncio.gather(seed(), seed()))
        assert said == [
            "8 exhibits, 69 animals, 14 staff loaded\nno photos: S3_URL is not set\n",
            "The zoo is not empty: nothing loaded\n",
        ]
        assert len((await committing_client.get("/exhibits")).json()) == 8
        animals = (await committing_client.get("/animals")).json()
        assert len(animals) == 69
        assert all(animal["exhibit_id"] and animal["species"] for animal in animals)

    @pytest.mark.parametrize("setting", [{"ENVIRONMENT": "production"}, {"SEED": "false"}, {"SEED": "0"}])
    def test_does_not_even_look_where_nothing_shall_be_loaded(self, setting: dict[str, str]) -> None:
        done = python.run(
            "api", "seed", env=os.environ | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"} | setting
        )
        assert done.stdout == "ENVIRONMENT is production, or SEED is false: nothing loaded\n", done.stderr

    async def test_does_not_bring_back_what_was_deleted(
        self, seed: Callable[[], Awaitable[str]], committing_client: httpx.AsyncClient
    ) -> None:
        animal = await make(committing_client, "/animals")
        await committing_client.delete(f"/animals/{animal['id']}")
        assert await seed() == "The zoo is not empty: nothing loaded\n"
