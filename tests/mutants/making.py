"""What mutants a module has: each is its source with one small fault put in, as people make them."""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.faults import Faults


@dataclass(frozen=True)
class Mutant:
    """A module's source with one fault in it. `name` says which; it stays when lines move."""

    path: str
    name: str
    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.path} {self.name}"


def make_mutants(root: Path, path: str, functions: Container[str] | None = None) -> list[Mutant]:
    """All mutants of the module at `path` below `root`, in its order; or those of some functions of it."""
    source = (root / path).read_text()
    names: Counter[str] = Counter()
    mutants = []
    for node, (start, end), new, function in Faults(source).found:
        if functions is not None and function not in functions:
            continue  # it takes most of the time to compile them
        changed = source[:start] + new + source[end:]
        if not _compiles(changed):
            continue
        first, last = source.rfind("\n", 0, start) + 1, source.find("\n", end)
        name = f"{function}: {_line(source[first:last])} -> {_line(changed[first : last + len(changed) - len(source)])}"
        names[name] += 1
        if names[name] > 1:
            name += f" #{names[name]}"
        mutants.append(Mutant(path, name, changed, node.lineno))
    return mutants


def _line(text: str) -> str:
    return " ".join(text.split())


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True
