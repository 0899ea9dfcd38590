"""Which mutants there are, and that those that are listed as the same as the code are among them."""

import re
from ast import literal_eval, parse
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.__main__ import modules, read_equivalents
from tests.mutants.making import Mutant, make_mutants
from tests.mutants.reaching import block_of, cached_blocks, noting
from tests.mutants.running import ROOT

CODE = '''
"""A module."""

SECONDS = 60
SAFE = {"GET", "HEAD"}

async def take(lock, rows: list[int] = 3):
    """The docstring."""
    async with lock.held():
        if not rows or len(rows) > 10:
            raise ValueError("too many rows")
    await lock.release(at_once=True)
    return select(rows).where(rows == 1).with_for_update()

LOCKED = "SELECT id FROM rows WHERE id > 1 AND id <= 9 FOR UPDATE SKIP LOCKED"
SORTED = """SELECT id FROM rows -- in no order, not even DESC
    WHERE id = 1"""
'''
MADE = [
    "SECONDS = 120",
    'SAFE = {"HEAD"}',
    'SAFE = {"GET"}',
    "list[int] = 6",
    "async with __import__('contextlib').nullcontext():",
    "if False or len(rows) > 10:",
    "if not rows or False:",
    "if (rows) or",
    "len(rows) >= 10",
    "len(rows) > 20",
    'raise ValueError("")',
    "pass",
    "at_once=False",
    "return None",
    "return select(rows).where(rows == 1)\n",
    "return select(rows).with_for_update()",
    "rows != 1",
    "rows == 2",
    "id >= 1",
    "id < 9",
    "id > 1 OR id",
    "9 SKIP LOCKED",
    'FOR UPDATE"',
]


def made(folder: Path, code: str) -> list[Mutant]:
    (folder / "module.py").write_text(code)
    return make_mutants(folder, "module.py")


def test_each_fault_is_a_mutant_that_can_be_compiled(tmp_path: Path) -> None:
    sources = [mutant.source for mutant in made(tmp_path, CODE)]
    assert [fault for fault in MADE if not any(fault in source for source in sources)] == []
    assert all(source != CODE and parse(source) for source in sources)
    kept = ("list[int]", "The docstring.", "not even DESC")
    assert all(text in source for source in sources for text in kept)


def test_a_mutant_keeps_its_name_when_lines_move(tmp_path: Path) -> None:
    before = [mutant.name for mutant in made(tmp_path, CODE)]
    moved = CODE.replace("async def take", "OTHER = None\n\n\nasync def take")
    assert [mutant.name for mutant in made(tmp_path, moved)] == before
    assert len(set(before)) == len(before)


@pytest.mark.parametrize(
    ("line", "first_of_block"), [("SECONDS", None), ("    async with", "    async with"), ("            raise",) * 2]
)
def test_a_line_belongs_to_the_innermost_block_of_a_function(line: str, first_of_block: str | None) -> None:
    assert block_of(CODE, "module.py", line_of(line)) == (
        # A function's docstring is the first statement of its block.
        None if first_of_block is None else ("module.py", line_of(first_of_block) - (line == "    async with"))
    )


def line_of(begin: str) -> int:
    return next(number for number, text in enumerate(CODE.splitlines(), 1) if text.startswith(begin))


def test_what_is_computed_once_is_on_behalf_of_all_tests_that_ask_for_it() -> None:
    code = "@cache\ndef f(n):\n    if n:\n        return 1\n    return 2\n\n\ndef g():\n    return 3\n"
    assert cached_blocks(code, "module.py") == {("module.py", 3), ("module.py", 4)}


def test_each_block_that_a_test_enters_is_noted_once_with_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from __future__ import annotations\n_note = None\n"
        "def f(n):\n    for _ in range(n):\n        if n > 5:\n            n = 0\n"
    )
    changed: dict[str, Any] = {}
    exec(noting(code, "module.py", tmp_path / "notes"), changed)
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "test_x.py::test_y (call)")
    changed["f"](3)
    noted = [literal_eval(line) for line in (tmp_path / "notes").read_text().splitlines()]
    assert noted == [("test_x.py::test_y (call)", ("module.py", number)) for number in (4, 5)]


def test_what_is_listed_as_the_same_as_the_code_is_a_mutant_of_it_and_has_a_reason() -> None:
    listed = read_equivalents((ROOT / "tests/mutants/equivalents.txt").read_text())
    of_modules: dict[str, set[str]] = {}
    for mutant in listed:
        path, _, name = mutant.partition(" ")
        of_modules.setdefault(path, set()).add(re.sub(r" #\d+$", "", name))
    assert of_modules.keys() <= set(modules([]))
    mutants = [mutant for path, names in of_modules.items() for mutant in make_mutants(ROOT, path, names)]
    assert listed.keys() <= {str(mutant) for mutant in mutants}
    assert all(listed.values())


def test_a_reason_is_that_of_all_lines_up_to_the_next() -> None:
    text = "# One\n# and more.\na.py f: 1 -> 2\na.py g: 1 -> 2\n\n# Other.\nb.py f: 1 -> 2\n"
    assert read_equivalents(text) == {
        "a.py f: 1 -> 2": "One and more.",
        "a.py g: 1 -> 2": "One and more.",
        "b.py f: 1 -> 2": "Other.",
    }
