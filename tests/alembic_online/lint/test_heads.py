"""Several newest revisions are a finding, which needs no database."""

from pathlib import Path

import pytest

from alembic_online.lint import find_heads
from tests.alembic_online.lint.bodies import REVISION
from tests.alembic_online.lint.examples import project


def write(folder: Path, revision: str, down: str | None, header: str = "") -> None:
    text = REVISION.format(header=header, body="    pass").replace('"one"', f'"{revision}"')
    (folder / f"{revision}.py").write_text(text.replace("down_revision = None", f"down_revision = {down!r}"))


def heads(folder: Path) -> dict[str, tuple[int, str]]:
    revisions = list(project(folder).scripts.walk_revisions())
    return {each.revision: (each.line, str(each)) for each in find_heads(project(folder), revisions)}


def test_each_is_found_in_its_file(tmp_path: Path) -> None:
    write(tmp_path, "one", None)
    write(tmp_path, "mine", "one")
    write(tmp_path, "yours", "one")
    found = heads(tmp_path)
    assert found.keys() == {"mine", "yours"}
    line, said = found["mine"]
    assert (tmp_path / "mine.py").read_text().splitlines()[line - 1] == "down_revision = 'one'"
    assert "heads: is one of 2 newest ones, beside yours" in said
    assert 'Write down_revision = "yours"' in said


@pytest.mark.parametrize(
    "revisions",
    [
        [("one", None, ""), ("two", "one", "")],
        [("one", None, ""), ("mine", "one", 'branch_labels = "ours"'), ("yours", "one", 'branch_labels = "theirs"')],
    ],
)
def test_one_is_none_and_neither_are_labelled_branches(
    tmp_path: Path, revisions: list[tuple[str, str | None, str]]
) -> None:
    for revision, down, header in revisions:
        write(tmp_path, revision, down, header)
    assert heads(tmp_path) == {}
