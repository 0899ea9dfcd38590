"""Which faults can be put into an imported module, and that they are in each function that was made of it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutants.swapping import CannotSwapError, functions_below, swap

CODE = '''
from functools import cache

LIMIT = 10

class Shelf:
    SIZE = 3

    @property
    def is_full(self):
        return self.SIZE > 2

def make(least=1):
    def check(number):
        """Whether it is enough."""
        return number > least
    return check

async def later():
    return [number + 1 for number in (1, 2)]

@cache
def once():
    return "as before"

checked = make()
'''


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    (tmp_path / "module.py").write_text(CODE)
    spec = importlib.util.spec_from_file_location("module", tmp_path / "module.py")
    assert spec
    assert spec.loader
    imported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(imported)
    return imported


def change(module: ModuleType, old: str, new: str) -> None:
    """Put `new` in the place of `old` into the imported module."""
    assert module.__file__
    mutated = CODE.replace(old, new)
    assert mutated != CODE
    path = Path(module.__file__)
    swap(functions_below(path.parent)[path.name], CODE, mutated)


@pytest.mark.parametrize(
    ("old", "new", "done", "result"),
    [
        pytest.param("self.SIZE > 2", "self.SIZE > 4", lambda found: found.Shelf().is_full, False, id="a property"),
        pytest.param('"as before"', '""', lambda found: found.once(), "", id="a decorated function"),
        pytest.param("number > least", "number >= least", lambda found: found.checked(1), True, id="made before"),
        pytest.param("number > least", "number >= least", lambda found: found.make(5)(5), True, id="made later"),
        pytest.param("number + 1", "number - 1", lambda found: _result(found.later), [0, 1], id="inside of another"),
    ],
)
def test_what_a_function_does_is_changed_wherever_it_is(
    module: ModuleType, old: str, new: str, done: Callable[[ModuleType], object], result: object
) -> None:
    before = done(module) if '"as before"' not in old else None
    change(module, old, new)
    assert before != result
    assert done(module) == result


def _result(function: Callable[[], object]) -> object:
    coroutine = function()
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration as ended:
        return ended.value
    raise AssertionError


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("LIMIT = 10", "LIMIT = 20", id="of the module"),
        pytest.param("SIZE = 3", "SIZE = 6", id="of a class"),
        pytest.param("least=1", "least=2", id="a default"),
        pytest.param("number > least", "number > 1", id="a closure that is none any more"),
    ],
)
def test_what_runs_when_the_module_is_imported_cannot_be_changed_later(module: ModuleType, old: str, new: str) -> None:
    with pytest.raises(CannotSwapError):
        change(module, old, new)
    assert module.checked(1) is False
