"""Which tests reach which blocks of a module, in whatever process they run it.

A copy of the modules notes each block that is entered, with the test that is under way: pytest names it in the
environment, which processes inherit. A process that none has started is one that makes the templates of the databases,
which is done once, without any fault.
"""

import ast
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NOTES = "ZOO_MUTANTS_NOTES"  # in the environment: the file for the tests' times
NOTE = """
def _block_is_entered(block, _noted=set()):
    import os, sys
    test = os.environ.get("PYTEST_CURRENT_TEST", "")
    if (test or "pytest" in sys.modules) and (test, block) not in _noted:
        _noted.add((test, block))
        file = os.open({notes!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.write(file, (repr((test, block)) + "\\n").encode())
        os.close(file)
"""
Block = tuple[str, int]
"""A module's path, and the line of the block's first statement."""


@dataclass
class Reached:
    """What one run of the tests has noted."""

    seconds: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    tests: dict[Block, set[str]] = field(default_factory=lambda: defaultdict(set))
    # Entered in a set-up, or by no test, or only by the first that gets there: maybe on behalf of any test.
    shared: set[Block] = field(default_factory=set)
    imported: set[Block] = field(default_factory=set)  # of these, those by no test


def reach(checkout: Path, paths: Collection[str], tests: Sequence[str], workers: int) -> Reached:
    """Run the tests in this checkout, whose modules at `paths` are changed for that."""
    notes, times = checkout.with_name("notes"), checkout.with_name("times")
    cached = set()
    for path in paths:
        module = checkout / path
        source = module.read_text()
        cached |= cached_blocks(source, path)
        module.write_text(noting(source, path, notes))
    command = [sys.executable, "-m", "pytest", "-p", "tests.mutants.reaching", "--numprocesses", str(workers)]
    env = os.environ | {NOTES: str(times)}
    output = ["--dist", "worksteal", "--quiet", "--no-header", "--tb=line"]
    subprocess.run([*command, *output, *tests], cwd=checkout, env=env, check=False)
    reached = _read(times, notes)
    reached.shared |= cached
    return reached


def cached_blocks(source: str, path: str) -> set[Block]:
    """The blocks inside of functions whose results are kept."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    kept = [node for node in functions if any("cache" in ast.unparse(found) for found in node.decorator_list)]
    return {(path, body[0].lineno) for node in kept for body in _blocks(ast.Module([node], []))}


def block_of(source: str, path: str, line: int) -> Block | None:
    """The innermost block that this line is in; None if it runs when the module is imported."""
    found = ((body[0].lineno, body[-1].end_lineno or 0) for body in _blocks(ast.parse(source)))
    around = [(last - first, first) for first, last in found if first <= line <= last]
    return (path, min(around)[1]) if around else None


def _blocks(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """The lists of statements inside of functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in {inner: None for function in functions for inner in ast.walk(function)}:
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list) and statements and not isinstance(node, ast.ClassDef):
                yield statements


def noting(source: str, path: str, notes: Path) -> str:
    """The same module, which notes each block that is entered."""
    tree = ast.parse(source)
    for statements in list(_blocks(tree)):
        note = ast.parse(f"_block_is_entered(({path!r}, {statements[0].lineno}))").body
        at = int(_is_docstring(statements[0]))
        statements[at:at] = note
    first = next(
        (number for number, found in enumerate(tree.body) if not (_is_docstring(found) or _is_future(found))),
        len(tree.body),
    )
    tree.body[first:first] = ast.parse(NOTE.format(notes=str(notes))).body
    return ast.unparse(ast.fix_missing_locations(tree))


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _read(times: Path, notes: Path) -> Reached:
    reached = Reached()
    for line in times.read_text().splitlines():
        test, seconds, outcome = json.loads(line)
        reached.seconds[test] = reached.seconds.get(test, 0) + seconds
        if outcome == "failed":
            reached.failed.add(test)
    for line in notes.read_text().splitlines():
        current, block = ast.literal_eval(line)
        test, _, phase = current.rpartition(" ")
        reached.tests[block].add(test)
        if phase != "(call)":
            reached.shared.add(block)
        if not test:
            reached.imported.add(block)
    return reached


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(os.environ[NOTES]).open("a") as times:
            times.write(json.dumps([report.nodeid, report.duration, report.outcome]) + "\n")
