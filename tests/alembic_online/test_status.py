"""`alembic-online status` as people read it."""

import pytest

from alembic_online.commands.status import _show
from alembic_online.runs.status import Move, Status

REVISION = "b6e3af89b7ce"
ROLE = "zoo_migrator@172.18.0.5"


def shown(width: int, revision: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    move = Move(revision, "downgrade", "2026-11-26T22:19:27.123456+00:00", 312.155, 10.001, 12, ROLE, "10.14.0")
    found = Status(
        current=[revision],
        head=[revision],
        pending=[revision],
        contract={revision: "10.14.0"},
        floor="10.13.0",
        releases={"10.14.0": 12},
        workers={"10.14.0": 12},
        history=[move],
        lock_holder="pid 71 (a migrator)",
        invalid_indexes=[],
        constraints_not_validated=[],
        drift=[],
        drift_not_compared=[],
    )
    _show(found)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("revision", [REVISION, "0042", "a_slug_of_thirty_two_characters_"])
def test_it_fits_a_terminal_of_80_columns_with_no_word_broken(
    revision: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(80, revision, monkeypatch, capsys)
    assert max(map(len, lines)) <= 80
    heading, move = lines[-2:]
    assert heading.split()[:4] == ["revision", "direction", "at", "seconds"]
    assert move.split()[:5] == [revision, "downgrade", "2026-11-26", "22:19", "312.155"]
    assert heading.split()[-1] == "release"
    assert move.split()[-1] == "10.14.0"


def test_a_wide_one_also_says_who_it_was(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(120, REVISION, monkeypatch, capsys)[-1].split()[-4:] == ["10.001", "12", "10.14.0", ROLE]
