"""Runs tests on one mutant after the other, each in a fork of a process that has collected the tests.

There, the code of the functions that differ is exchanged; where that can't be, because what differs has run when the
tests were imported, the fork is one of a process that has imported the libraries only. The mutant is also written, for
the processes that tests start. Every worker has a copy of the checkout, in which alone that is done, and a Postgres of
its own, in which the templates of the tests' databases are made once.
"""

import asyncio
import contextlib
import gc
import importlib.util
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import asyncpg
import pytest

from tests.forkserver import LIBRARIES
from tests.mutants.making import Mutant
from tests.mutants.swapping import CannotSwapError, functions_below, swap

ROOT = Path(__file__).parent.parent.parent
TIMES_LONGER, MORE_SECONDS = 5, 15  # than on the code: a test that takes longer fails
SOCKET_DIR = "ZOO_TEST_SOCKET_DIR"  # of tests/conftest.py, which is not imported here: it imports the api
CANNOT_SWAP = "cannot swap"
KEPT = ("postgres", "template0", "template1", "zoo_empty", "zoo_migrated")

LIKELY = 5  # tests that have found the last faults of a module are tried first at its next

_later = itertools.count(1)
_finders: dict[str, list[str]] = defaultdict(list)


@dataclass(frozen=True)
class Job:
    """A mutant, and the tests that may find it, the likeliest first, with the seconds that each takes on the code.

    They are below `among`. `swaps` says that what is changed does not run when those are imported.
    """

    mutant: Mutant
    tests: Mapping[str, float]
    among: tuple[str, ...]
    swaps: bool


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
    """In the process from which those are forked that run mutants; as far as they are installed."""
    for library in LIBRARIES:
        if importlib.util.find_spec(library.partition(".")[0]):
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
    finders = _finders[job.mutant.path]
    likely = [test for test in finders if test in job.tests][:LIKELY]
    ordered = replace(job, tests={test: job.tests[test] for test in (*likely, *job.tests)})
    if failing := _run(ordered, likely):
        finders[:] = [failing, *(test for test in finders if test != failing)]
    return failing


def _run(job: Job, likely: Collection[str]) -> str | None:
    """As run_job; where tests have to import what they test, these run before the others are imported."""
    if not job.tests:
        return None
    module = Path(job.mutant.path)
    original, modified = module.read_text(), module.stat().st_mtime
    collected = collect(job.among) if job.swaps else None
    module.write_text(job.mutant.source)
    os.utime(module, (modified, modified + next(_later)))  # or Python would take another's compiled one
    try:
        if collected is not None and (told := collected.run(job, original)) != CANNOT_SWAP:
            return told
        rest = [test for test in job.tests if test not in likely]
        return next((told for tests in (likely, rest) if tests and (told := _import_and_run(tests, job))), None)
    finally:
        module.write_text(original)
        os.utime(module, (modified, modified))
        asyncio.run(_drop_databases())


def _import_and_run(tests: Collection[str], job: Job) -> str | None:
    """The first of these that fails."""
    child, pipe = _fork()
    if child == 0:
        files = dict.fromkeys(test.partition("::")[0] for test in tests)
        os._exit(_pytest(files, Importing({test: job.tests[test] for test in tests}, pipe)))
    return _end(child, pipe)


def _fork() -> tuple[int, int]:
    """Fork a process that runs tests; as os.fork, with the end of a pipe for the names of the tests."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        output = os.open(f"{Path.cwd()}.output", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(output, number)
        return child, writing
    os.close(writing)
    return child, reading


def _end(child: int, reading: int) -> str | None:
    """Wait for the process; the test that failed, if one did."""
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests have started
    with os.fdopen(reading) as told:
        started = told.read().splitlines()
    if status == 0:
        return None
    return (started[-1] if started else "importing the tests") + ("" if os.WIFEXITED(status) else ", which did not end")


class Importing:
    """A plugin for pytest: runs these tests in this order; SIGALRM ends the process if one takes too long."""

    def __init__(self, tests: Mapping[str, float], started: int) -> None:
        self.tests = tests
        self.started = started

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        found = {item.nodeid: item for item in items}
        items[:] = [found[name] for name in self.tests if name in found]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        os.write(self.started, f"{nodeid}\n".encode())
        signal.alarm(round(TIMES_LONGER * self.tests[nodeid]) + MORE_SECONDS)


class Collected(Importing):
    """A plugin for pytest: once the tests are collected, a fork for each job runs those of the job."""

    def __init__(self, jobs: Connection) -> None:
        self.jobs = jobs

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """All are kept."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if any("storage" in getattr(item, "fixturenames", ()) for item in session.items):
            importlib.import_module("tests.conftest").start_storage().wait()
        functions = functions_below(Path.cwd())
        self.jobs.send(None)
        while (received := _receive(self.jobs)) is not None:
            path, original, mutated, tests = received
            child, pipe = _fork()
            if child == 0:
                super().__init__(tests, pipe)
                super().pytest_collection_modifyitems(session.items)
                try:
                    swap(functions[path], original, mutated)
                except CannotSwapError:
                    os.write(pipe, CANNOT_SWAP.encode())
                    os._exit(1)
                return None  # pytest goes on to the tests
            self.jobs.send(_end(child, pipe))
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if hasattr(self, "tests"):
            os._exit(exitstatus)  # before what the tests share is ended


Swapped = tuple[str, str, str, Mapping[str, float]]
"""A job: the module's path, its source without and with the fault, and the tests."""


def _receive(jobs: Connection) -> Swapped | None:
    try:
        received: Swapped = jobs.recv()
    except EOFError:
        return None
    return received


class Collector:
    """A process that has collected the tests below `among`."""

    def __init__(self, among: tuple[str, ...]) -> None:
        self.among = among
        self.jobs, theirs = multiprocessing.Pipe()
        self.process = os.fork()
        if self.process == 0:
            self.jobs.close()
            os._exit(_pytest(among, Collected(theirs)))
        theirs.close()
        self.jobs.recv()  # all is imported: from here on, a module may be changed

    def run(self, job: Job, original: str) -> str | None:
        """As run_job; CANNOT_SWAP if the fault can't be put into imported functions."""
        self.jobs.send((job.mutant.path, original, job.mutant.source, dict(job.tests)))
        told: str | None = self.jobs.recv()
        return told

    def close(self) -> None:
        self.jobs.close()
        os.waitpid(self.process, 0)


def collect(among: tuple[str, ...], _made: list[Collector] = []) -> Collector:  # noqa: B006 - the last one
    """The process that has collected these tests, one at a time."""
    if _made and _made[0].among != among:
        _made.pop().close()
    if not _made:
        _made.append(Collector(among))
    return _made[0]


def _pytest(files: Iterable[str], plugin: Importing) -> int:
    # Of some libraries, pytest has plugins that it would import itself.
    options = ["-x", "--quiet", "-p", "no:cacheprovider", "--tb=short"]
    warnings = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    try:
        return int(pytest.main([*options, *warnings, *files], plugins=[plugin]))
    except BaseException:  # noqa: BLE001 - a mutant may raise anything
        traceback.print_exc()
        return 1


async def _drop_databases() -> None:
    """Those that tests have left behind, with the sessions in them; what takes long to end is left to the next job."""
    connection = await asyncpg.connect(host=os.environ[SOCKET_DIR], user="postgres", database="postgres")
    for name in await connection.fetch("SELECT datname FROM pg_database WHERE datname <> ALL ($1)", KEPT):
        with contextlib.suppress(asyncpg.ObjectInUseError):
            await connection.execute(f'DROP DATABASE "{name["datname"]}" WITH (FORCE)')
    await connection.close()
