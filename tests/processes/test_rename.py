"""`make rename`: the project under another name, in a fresh clone."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from local.rename import UNCHANGED, renamed, why_not
from tests.checkouts import clone, quicken
from tests.conftest import ROOT
from tests.processes.test_run import get, make_run
from tests.python import run
from tests.rounds import rounds

LOOK = "import os\nprint(os.environ['DATABASE_URL'], os.environ['MIGRATION_DATABASE_URL'])\n"
NAME, SNAKE = "book-shop", "book_shop"
# Of those that a name could break, some of each kind; in all rounds, all of them.
TELLING = ["tests/api/test_path_prefix.py", "tests/api/test_settings.py", "tests/stack_settings", "tests/docs"]


def execute(checkout: Path, *command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=checkout, env=os.environ | (env or {}), capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rename(checkout: Path, name: str) -> "subprocess.CompletedProcess[str]":
    return run("local.rename", name, env=os.environ, cwd=checkout)


def files(checkout: Path) -> dict[str, bytes]:
    names = subprocess.check_output(["git", "ls-files"], cwd=checkout, text=True).split()
    return {name: (checkout / name).read_bytes() for name in names}


def unformatted(checkout: Path) -> dict[str, bytes]:
    """Its files without what the lengths of names change."""
    return {name: re.sub(rb"# noqa: E501|[\s,()]", b"", content) for name, content in files(checkout).items()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = clone(tmp_path_factory.mktemp("rename"))
    (made / ".venv").symlink_to(ROOT / ".venv")
    done = rename(made, NAME)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"zoo is {NAME} now, in ")
    for locked in (made / "requirements").iterdir():
        os.utime(locked, (0, 0))  # or make would install them again
    return quicken(made)


def test_names_are_new_and_nothing_else_is(checkout: Path) -> None:
    now = files(checkout)
    text = b"\n".join(content for name, content in now.items() if Path(name).name not in UNCHANGED)
    assert set(re.findall(rb"\bzoo[_-][a-z]+|/zoo\b(?![/:\\])|\"zoo\"|ZooError", text)) == set()
    for name, content in now.items():
        if name.startswith(("deploy/", "docker-compose")):  # there, the zoo is a word in sentences only
            lines = [line for line in content.splitlines() if not re.match(rb"\s*#|LABEL|.*image\.description", line)]
            assert not re.search(rb"\bzoo\b", b"\n".join(lines)), name
    for name, content in files(ROOT).items():
        if name.startswith("migrator/versions/") or name == "LICENSE":
            assert now[name] == content
    assert {"api", "migrator", "alembic_online"} <= {Path(name).parts[0] for name in now}


def test_checks_pass_and_so_do_tests(checkout: Path) -> None:
    if rounds(quick=0, full=1):
        execute(checkout, "make", "check", "test")
        return
    python = str(checkout / ".venv" / "bin" / "python")
    execute(checkout, python, "-m", "ruff", "check", ".")
    execute(checkout, python, "-m", "ruff", "format", "--check", ".")
    execute(checkout, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TELLING, env={"PYTEST_ADDOPTS": ""})


def test_it_starts_under_its_new_name(checkout: Path, free_port: int) -> None:
    with make_run(checkout, free_port):
        address = f"http://127.0.0.1:{free_port}"
        assert len(get(f"{address}/animals").json()) == 69
        assert get(f"{address}/openapi.json").json()["info"]["title"] == "Book Shop"
        (checkout / "look.py").write_text(LOOK)
        shown = execute(checkout, str(checkout / ".venv" / "bin" / "python"), "-m", "local", "exec", "look")
        (checkout / "look.py").unlink()
        assert re.findall(r"//(\w+)@/(\w+)\?", shown) == [(f"{SNAKE}_api", SNAKE), (f"{SNAKE}_migrator", SNAKE)]


def test_renamed_back_it_is_as_it_was(checkout: Path, tmp_path: Path) -> None:
    before, back = clone(tmp_path / "before"), clone(tmp_path / "back")
    for name, content in files(checkout).items():
        (back / name).write_bytes(content)
    done = rename(back, "zoo")
    assert done.returncode == 0, done.stderr
    expected = unformatted(before)
    assert [name for name, content in unformatted(back).items() if content != expected[name]] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "say which: make rename NAME="),
        ("Library", "such as library"),
        ("my_app", "such as my-app"),
        ("2books", "such as books"),
        ("-shop", "such as shop"),
        ("shop-", "such as shop"),
        ("a--b", "such as a-b"),
        ("bücher", "such as b-cher"),
        ("a b", "such as a-b"),
        ("x" * 21, "20 at most"),
        ("api", "means something else"),
        ("select", "means something else"),
        ("verbose", "means something else"),
        ("pg-books", "means something else"),
    ],
)
def test_a_name_that_can_not_be_used_is_refused_with_one_that_can(name: str, said: str) -> None:
    assert said in (why_not(name) or "")


def test_a_name_that_some_file_uses_already_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    made = clone(tmp_path)
    for name in ("uvicorn", "pg", "alembic-online", "stack-settings", "zoo"):
        refused = rename(made, name)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith("error: ")
    assert subprocess.check_output(["git", "status", "--short"], cwd=made, text=True) == ""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("postgresql://zoo_api@db:5432/zoo?x=1", "postgresql://book_shop_api@db:5432/book_shop?x=1"),
        ("${COMPOSE_PROJECT_NAME:-zoo}-api", "${COMPOSE_PROJECT_NAME:-book-shop}-api"),
        ("ngozi@zoo.example is an admin of the zoo", "ngozi@book-shop.example is an admin of the zoo"),
        ('{delimiter: "-", index: 2}', '{delimiter: "-", index: 3}'),
        ("class ZooError(Exception):", "class BookShopError(Exception):"),
        ("A zoo of animals; zoology; a zoo's keeper.", "A zoo of animals; zoology; a zoo's keeper."),
        ("--zoo-path seeded_zoo_animals zoo = 1", "--zoo-path seeded_zoo_animals zoo = 1"),
    ],
)
def test_what_is_a_name(before: str, after: str) -> None:
    assert renamed(before, "zoo", NAME) == after
