"""What mutants a module has: each is its source with one small fault put in, as people make them."""

import ast
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.faults import Faults, Span


@dataclass(frozen=True)
class Mutant:
    """A module's source with one fault in it. `name` says which; it stays when lines move."""

    path: str
    name: str
    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.path} {self.name}"


def make_mutants(root: Path, path: str, names: Container[str] | None = None) -> list[Mutant]:
    """All mutants of the module at `path` below `root`, in its order; or those of these names, and any number."""
    source = (root / path).read_text()
    counted: Counter[str] = Counter()
    mutants, statements = [], list(_statements(source))
    for node, (start, end), new, function in Faults(source).found:
        changed = source[:start] + new + source[end:]
        longer = len(changed) - len(source)
        first, last = source.rfind("\n", 0, start) + 1, source.find("\n", end)
        name = f"{function}: {_line(source[first:last])} -> {_line(changed[first : last + longer])}"
        if names is not None and name not in names:
            continue
        begins, ends = next(each for each in statements if each[0] <= start < each[1])
        if not _compiles(changed[begins : ends + longer]):  # to compile all of the module would take most of the time
            continue
        counted[name] += 1
        if counted[name] > 1:
            name += f" #{counted[name]}"
        mutants.append(Mutant(path, name, changed, node.lineno))
    return mutants


def _statements(source: str) -> Iterator[Span]:
    """Where each statement of the module itself is, in whole lines, with its decorators."""
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        begins = sum(map(len, lines[: first - 1]))
        yield begins, begins + sum(map(len, lines[first - 1 : node.end_lineno]))


def _line(text: str) -> str:
    return " ".join(text.split())


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True
