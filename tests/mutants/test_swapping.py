"""Which faults can be put into an imported module, and that they are in each function that was made of it."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

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


COPIES = 9  # one for each test


@dataclass(frozen=True)
class Imported:
    """A copy of the module, and its functions."""

    module: ModuleType
    functions: Sequence[FunctionType]

    def change(self, old: str, new: str) -> None:
        """Put `new` in the place of `old`."""
        mutated = CODE.replace(old, new)
        assert mutated != CODE
        swap(self.functions, CODE, mutated)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    """To look for functions takes half a second: it is done once."""
    folder = tmp_path_factory.mktemp("copies")
    modules = {f"copy_{number}.py": import_copy(folder / f"copy_{number}.py") for number in range(COPIES)}
    functions = functions_below(folder)
    return iter([Imported(module, functions[name]) for name, module in modules.items()])


def import_copy(path: Path) -> ModuleType:
    path.write_text(CODE)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    imported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(imported)
    return imported


@pytest.fixture
def imported(copies: Iterator[Imported]) -> Imported:
    return next(copies)


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
    imported: Imported, old: str, new: str, done: Callable[[ModuleType], object], result: object
) -> None:
    before = done(imported.module) if '"as before"' not in old else None
    imported.change(old, new)
    assert before != result
    assert done(imported.module) == result


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
def test_what_runs_when_the_module_is_imported_cannot_be_changed_later(imported: Imported, old: str, new: str) -> None:
    with pytest.raises(CannotSwapError):
        imported.change(old, new)
    assert imported.module.checked(1) is False
