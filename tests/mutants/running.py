"""Runs tests on one mutant after the other: each in a fork of a process that has imported the libraries.

Every worker has a copy of the checkout, in which alone mutants are written, and a Postgres of its own, in which the
templates of the tests' databases are made once.
"""

import asyncio
import contextlib
import gc
import importlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from tests.forkserver import LIBRARIES
from tests.mutants.making import Mutant

ROOT = Path(__file__).parent.parent.parent
TIMES_LONGER, MORE_SECONDS = 5, 30  # than on the code: a test that takes longer fails
SOCKET_DIR = "ZOO_TEST_SOCKET_DIR"  # of tests/conftest.py, which is not imported here: it imports the api
KEPT = ("postgres", "template0", "template1", "zoo_empty", "zoo_migrated")

_later = itertools.count(1)


@dataclass(frozen=True)
class Job:
    """A mutant, and the tests that may find it, the likeliest first, with the seconds that each takes on the code."""

    mutant: Mutant
    tests: Mapping[str, float]


def copy_checkout(folder: Path) -> Path:
    """A copy of the files that git knows or would add, as they are now."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, found.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)  # tests ask it for the files, too
    return folder


def import_libraries() -> None:
    """In the process from which those are forked that run mutants."""
    for library in LIBRARIES:
        importlib.import_module(library)


def start_worker(folder: str) -> None:
    """Make this process one that runs mutants."""
    os.chdir(copy_checkout(Path(tempfile.mkdtemp(dir=folder))))
    sys.path[:] = [str(Path.cwd()), *(entry for entry in sys.path if entry not in {"", str(ROOT)})]
    for name in [name for name in sys.modules if name.partition(".")[0] in {"tests", "local", "stack_settings"}]:
        del sys.modules[name]  # they are the checkout's, not the copy's
    os.environ.update(_start_server())
    gc.freeze()


def _start_server() -> dict[str, str]:
    """Start Postgres in a process that ends with this one; returns what its users have in their environment."""
    (reading, writing), (ending, held) = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(held)
        try:
            conftest = importlib.import_module("tests.conftest")
            conftest.start_server()()
            os.write(writing, json.dumps({name: os.environ[name] for name in ("TMPDIR", SOCKET_DIR)}).encode())
            os.read(ending, 1)
            conftest.running.close()
        finally:
            os._exit(0)
    os.close(writing)
    os.close(ending)
    environment: dict[str, str] = json.loads(os.read(reading, 10_000))
    return environment


def run_job(job: Job) -> str | None:
    """The test that fails on the mutant; None if all pass."""
    module = Path(job.mutant.path)
    original, modified = module.read_text(), module.stat().st_mtime
    module.write_text(job.mutant.source)
    os.utime(module, (modified, modified + next(_later)))  # or Python would take another's compiled one
    try:
        return _run(job.tests) if job.tests else None
    finally:
        module.write_text(original)
        os.utime(module, (modified, modified))
        asyncio.run(_drop_databases())


def _run(tests: Mapping[str, float]) -> str | None:
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        output = os.open(f"{Path.cwd()}.output", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(output, number)
        os._exit(_pytest(tests, writing))
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests have started
    with os.fdopen(reading) as told:
        started = told.read().splitlines()
    if status == 0:
        return None
    return (started[-1] if started else "importing the tests") + ("" if os.WIFEXITED(status) else ", which did not end")


def _pytest(tests: Mapping[str, float], started: int) -> int:
    """Run these tests in this order until one fails; SIGALRM ends the process if one takes too long."""

    class Chosen:
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            found = {item.nodeid: item for item in items}
            items[:] = [found[name] for name in tests if name in found]

        def pytest_runtest_logstart(self, nodeid: str) -> None:
            os.write(started, f"{nodeid}\n".encode())
            signal.alarm(round(TIMES_LONGER * tests[nodeid]) + MORE_SECONDS)

    files = dict.fromkeys(name.partition("::")[0] for name in tests)
    # Of some libraries, pytest has plugins that it would import itself.
    options = [
        "-x",
        "--quiet",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    try:
        return int(pytest.main([*options, *files], plugins=[Chosen()]))
    except BaseException:  # noqa: BLE001 - a mutant may raise anything
        traceback.print_exc()
        return 1


async def _drop_databases() -> None:
    """Those that tests have left behind, with the sessions in them."""
    connection = await asyncpg.connect(host=os.environ[SOCKET_DIR], user="postgres", database="postgres")
    for name in await connection.fetch("SELECT datname FROM pg_database WHERE datname <> ALL ($1)", KEPT):
        await connection.execute(f'DROP DATABASE "{name["datname"]}" WITH (FORCE)')
    await connection.close()
