"""A revision's file as Python: what is wrong with its imports, and where its statements begin and end."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from alembic_online.lint.finding import Problem

SAFE_WAY = "Write what the revision needs of it into this file, as sa.table(...) or SQL: it must do the same in a year"
OFFLINE = {"as_sql", "is_offline_mode"}
IMPORTS = {"import_module", "__import__"}
TOOL = "alembic_online"


def find_imports(tree: ast.Module, root: Path) -> Iterator[Problem]:
    """Imports of the app, whose code is below `root`, anywhere in the file."""
    for node in ast.walk(tree):
        for name in _imported(node):
            if _is_in(root, name.partition(".")[0]):
                yield Problem("app-import", getattr(node, "lineno", 1), f"imports {name}, which will change", SAFE_WAY)
                break


def find_offline(tree: ast.Module) -> Iterator[Problem]:
    """Code that behaves differently with `--sql`, which is also how the lint sees the revision."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in OFFLINE:
            yield Problem(
                "not-sql",
                node.lineno,
                f"uses {node.attr}, so it may do something else when it runs than lint, plan and --sql show",
                "Do the same in both cases",
            )


def _is_in(root: Path, package: str) -> bool:
    """Whether the code of a package is below `root`, and not a library that is installed there."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return False
    paths = [*(spec.submodule_search_locations or ()), spec.origin or ""] if spec else []
    return package != TOOL and any(
        Path(path).is_relative_to(root) and "site-packages" not in Path(path).parts for path in paths
    )


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""] if node.level == 0 else []
    if isinstance(node, ast.Call) and _called(node.func) in IMPORTS:
        return [str(each.value) for each in node.args[:1] if isinstance(each, ast.Constant)]
    return []


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def line_of(tree: ast.Module, *names: str) -> int:
    """The line that defines the first of these names that is defined; 1 if none is."""
    for name in names:
        for node in tree.body:
            targets = [getattr(target, "id", "") for target in getattr(node, "targets", ())]
            if name in {*targets, getattr(node, "name", ""), getattr(getattr(node, "target", None), "id", "")}:
                return node.lineno
    return 1


def span_of(tree: ast.Module, line: int) -> range:
    """The lines of the innermost statement that `line` is in."""
    statements = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    if not statements:
        return range(line, line + 1)
    innermost = max(statements, key=lambda node: (node.lineno, -(node.end_lineno or 0)))
    return range(innermost.lineno, (innermost.end_lineno or innermost.lineno) + 1)
