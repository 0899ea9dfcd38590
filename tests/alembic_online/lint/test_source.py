"""A revision's imports: which of them are of the app."""

import ast
from pathlib import Path

import pytest

from alembic_online.lint.source import find_imports
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("line", "is_of_the_app"),
    [
        ("import package", True),
        ("from package.models import Animal", True),
        ("import json, module", True),
        ("from namespace import part", True),
        ('importlib.import_module("package.models")', True),
        ('__import__("module")', True),
        ('importlib.import_module("json", "package")', False),
        ("from . import package", False),
        ("import json", False),
        ("import nowhere", False),
    ],
)
def test_what_is_below_the_apps_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, is_of_the_app: bool
) -> None:
    for file in ("package/__init__.py", "module.py", "namespace/part.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert [found.rule for found in find_imports(ast.parse(line), tmp_path)] == ["app-import"] * is_of_the_app


@pytest.mark.parametrize(("line", "is_of_the_app"), [("import api", True), ("import alembic_online, alembic", False)])
def test_libraries_are_not_though_they_are_installed_there_and_neither_is_the_tool(
    line: str, is_of_the_app: bool
) -> None:
    assert bool([*find_imports(ast.parse(line), ROOT)]) == is_of_the_app
