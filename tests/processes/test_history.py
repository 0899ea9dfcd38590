"""What `migration_history` records about the applied revisions."""

import re
from pathlib import Path

import asyncpg

from local.postgres import Server
from tests.checkouts import linked_checkout
from tests.conftest import ROOT, alembic


def _revisions() -> dict[str, Path]:
    """All revisions, the oldest first, and their files."""
    pattern = re.compile(r'^revision = "(.*)"\ndown_revision = (?:"(.*)"|None)$', re.MULTILINE)
    files = (ROOT / "migrator" / "versions").glob("*.py")
    following = {match[2]: (match[1], file) for file in files if (match := pattern.search(file.read_text()))}
    found: dict[str, Path] = {}
    while (next_one := following.get(next(reversed(found), None))) is not None:
        found[next_one[0]] = next_one[1]
    return found


FILES = [*_revisions().values()]
REVISIONS = [*_revisions()]
UP = [(revision, "upgrade") for revision in REVISIONS]
DOWN = [(revision, "downgrade") for revision in reversed(REVISIONS)]


async def history(server: Server, database: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(server.url("zoo_api", database))
    rows = await connection.fetch("SELECT revision, direction FROM migration_history ORDER BY id")
    await connection.close()
    return [(row["revision"], row["direction"]) for row in rows]


async def newest(server: Server, database: str, revision: str | None = None) -> asyncpg.Record:
    """What is recorded of the newest move, or of that of a revision."""
    connection = await asyncpg.connect(server.url("zoo_api", database))
    row = await connection.fetchrow(
        "SELECT * FROM migration_history WHERE revision = $1 OR $1 IS NULL ORDER BY id DESC LIMIT 1", revision
    )
    await connection.close()
    return row


async def test_a_run_that_has_nothing_to_do_changes_nothing(server: Server, database: str) -> None:
    before = await history(server, database)
    done = alembic(server.environment(database), "upgrade", "head")
    assert done.returncode == 0
    assert "Running" not in done.stderr
    assert await history(server, database) == before


async def test_an_applied_revision_that_was_edited_stops_the_next_run(
    server: Server, database: str, tmp_path: Path
) -> None:
    checkout = linked_checkout(tmp_path)
    (file,) = (checkout / "migrator" / "versions").glob("2026_11_21_*.py")
    original = file.read_bytes()
    waived = original.replace(b"def upgrade", b"# lint: allow rename: a waiver changes nothing\ndef upgrade")
    file.write_bytes(waived.replace(b"\n", b"\r\n"))  # as in a checkout on Windows
    assert alembic(server.environment(database), "upgrade", "head", cwd=checkout).returncode == 0
    file.write_bytes(original + b"# edited\n")
    refused = alembic(server.environment(database), "upgrade", "head", cwd=checkout)
    assert refused.returncode == 6
    assert f"revision {REVISIONS[0]} was applied, but its file has changed" in refused.stderr.splitlines()[-1]
    # It can be taken back, and then applied with its new content.
    assert alembic(server.environment(database), "downgrade", "base", cwd=checkout).returncode == 0


async def test_a_stamp_is_on_record(server: Server, empty_database: str) -> None:
    environment = server.environment(empty_database)
    stamped = alembic(environment, "stamp", "head")
    assert stamped.returncode == 0
    assert "the schema is not as it should be" not in stamped.stderr  # who stamps knows its state
    assert alembic(environment, "stamp", "base").returncode == 0
    assert await history(server, empty_database) == UP + DOWN


async def test_a_branch_that_is_stamped_away_leaves_what_others_build_on(
    server: Server, database: str, tmp_path: Path
) -> None:
    checkout = linked_checkout(tmp_path)
    for name in ("left", "right"):
        (checkout / "migrator" / "versions" / f"2099_01_01_0000-{name}.py").write_text(
            f'revision = "{name}"\ndown_revision = "{REVISIONS[-1]}"\ndef upgrade(): pass\ndef downgrade(): pass\n'
        )
    environment = server.environment(database)
    assert alembic(environment, "upgrade", "heads", cwd=checkout).returncode == 0
    assert alembic(environment, "stamp", "left@base", cwd=checkout).returncode == 0
    rows = await history(server, database)
    assert rows[: len(UP)] == UP
    assert sorted(rows[len(UP) :]) == [("left", "downgrade"), ("left", "upgrade"), ("right", "upgrade")]
