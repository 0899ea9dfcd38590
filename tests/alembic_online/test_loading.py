"""Revision files that can't be loaded: what is said of each."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from alembic_online.errors import ConfigurationError
from alembic_online.loading import load_revisions

HEAD = 'revision = "{}"\ndown_revision = {!r}\ndef upgrade(): pass\ndef downgrade(): pass\n'
FIRST, SECOND = HEAD.format("0001", None), HEAD.format("0002", "0001")
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "syntax": (f"{SECOND}def f(:\n", "line 5: "),
    "a missing import": (f"import nowhere_to_be_found\n{SECOND}", "No module named 'nowhere_to_be_found'"),
    "an exception of several lines": (f"{SECOND}raise ValueError('one\\ntwo')\n", "ValueError: one two"),
    "an exit": (f"{SECOND}raise SystemExit(0)\n", "SystemExit"),
    "an empty file": ("", "Could not determine revision id"),
    "no revision": ("down_revision = None\ndef upgrade(): pass\n", "Could not determine revision id"),
    "no down_revision": ('revision = "0002"\ndef upgrade(): pass\n', "down_revision"),
    "no upgrade": ('revision = "0002"\ndown_revision = "0001"\n', "has no upgrade()"),
    "an encoding": (SECOND.encode() + b"'\xff'\n", "utf-8"),
    "a null byte": (SECOND.encode() + b"\0", "null bytes"),
    "a number as its revision": (SECOND.replace('"0002"', "2"), "TypeError"),
    "signs in its revision": (SECOND.replace('"0002"', '"a-b"'), "a-b"),
    "an unknown down_revision": (HEAD.format("0002", "0000"), "its down_revision is '0000', but there is no such"),
    "two, of which one is unknown": (HEAD.format("0002", ("0001", "x")), "its down_revision is 'x', but there is no"),
    "an unknown depends_on": (f"{SECOND}depends_on = 'y'\n", "its depends_on is 'y', but there is no such revision"),
    "itself before it": (HEAD.format("0002", "0002"), "0002"),
}


def load(folder: Path) -> str:
    """The one line that is said."""
    with pytest.raises(ConfigurationError) as said:
        load_revisions(ScriptDirectory(str(folder), version_locations=[str(folder)]))
    (line,) = str(said.value).splitlines()
    return line


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_can_not_be_loaded_is_named_with_the_reason(tmp_path: Path, name: str) -> None:
    source, reason = BROKEN[name]
    (tmp_path / "first.py").write_text(FIRST)
    (tmp_path / "second.py").write_bytes(source if isinstance(source, bytes) else source.encode())
    said = load(tmp_path)
    assert said.startswith("second.py: ")
    assert reason in said


def test_two_files_of_one_revision_are_both_named(tmp_path: Path) -> None:
    for name in ("first.py", "first copy.py"):
        (tmp_path / name).write_text(FIRST)
    (tmp_path / "second.py").write_text(SECOND)
    assert load(tmp_path).startswith("first copy.py and first.py: have the same revision, '0001'")


def test_files_in_a_circle_are_all_named(tmp_path: Path) -> None:
    for number, before in (("1", None), ("2", "4"), ("3", "2"), ("4", "3")):
        (tmp_path / f"r{number}.py").write_text(HEAD.format(number, before))
    assert load(tmp_path) == "r2.py, r3.py, r4.py: follow each other in a circle"


def test_what_a_revision_warns_of_is_still_said(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(f"import warnings\nwarnings.warn('old', FutureWarning)\n{FIRST}")
    with pytest.warns(FutureWarning, match="old"):
        load_revisions(ScriptDirectory(str(tmp_path), version_locations=[str(tmp_path)]))
