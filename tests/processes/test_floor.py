"""What a run writes as the floor, and which releases it refuses."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import alembic
from tests.faults.checkout import checkout_with
from tests.processes.test_history import UP
from tests.processes.test_migrator import migrator
from tests.processes.test_phases import ATTRIBUTES, CONTRACT, EXPAND, REVISIONS, applied, connected

FLOORS = "SELECT floor FROM migration_history ORDER BY id"
DOWNGRADES = {"drop": 'op.add_column("staff", sa.Column("notes", sa.Text))'}


def new(version: str, phase: dict[str, str]) -> dict[str, str]:
    return phase | {"RELEASE": version}


class Release:
    """A checkout with further revisions, whose migrator works on one database."""

    def __init__(self, server: Server, database: str, folder: Path, *revisions: str) -> None:
        self.environment = server.environment(database)
        self.checkout = checkout_with(
            folder, attributes=ATTRIBUTES, downgrades=DOWNGRADES, **{name: REVISIONS[name] for name in revisions}
        )

    async def run(self, settings: dict[str, str], *command: str, code: int = 0) -> str:
        """What `alembic COMMAND` says, `upgrade head` by default; it ends with `code`."""
        command = command or ("upgrade", "head")
        return await self._said(alembic, settings, command, code)

    async def tool(self, settings: dict[str, str], *command: str, code: int = 0) -> str:
        """What `alembic_online COMMAND` says."""
        return await self._said(migrator, settings, command, code)

    async def _said(self, program: Any, settings: dict[str, str], command: tuple[str, ...], code: int) -> str:
        done = await asyncio.to_thread(program, self.environment | settings, *command, cwd=self.checkout)
        assert done.returncode == code, done.stdout + done.stderr
        return str(done.stdout + done.stderr)


async def floors(admin: asyncpg.Connection) -> list[str | None]:
    """The floor after each move since the zoo's own revisions."""
    return [floor for (floor,) in await admin.fetch(FLOORS)][len(UP) :]


@pytest.fixture
def both(server: Server, database: str, tmp_path: Path) -> Release:
    """A release that adds, and takes away: 0.4.0."""
    return Release(server, database, tmp_path / "both", "add", "drop")


async def test_a_contract_revision_writes_it_and_its_downgrade_takes_it_back(
    both: Release, admin: asyncpg.Connection, server: Server, database: str, tmp_path: Path
) -> None:
    older = Release(server, database, tmp_path / "older", "add")
    await both.run(EXPAND)
    assert await floors(admin) == [None]
    await both.run(CONTRACT)
    assert await floors(admin) == [None, "0.4.0"]
    assert "release 0.4.0: older ones can't work with the schema" in await both.tool({}, "status")
    assert "release 0.3.9 of the app can't work" in await older.run(new("0.3.9", {}), code=6)
    # Without a phase, a checkout may be one in which the next release is being written.
    await both.run(new("0.3.9", {}))
    assert "release 0.3.9 of the app can't work" in await both.run(new("0.3.9", EXPAND), code=6)
    assert "release 0.3.9 of the app can't work" in await both.tool(new("0.3.9", EXPAND), "plan", code=6)
    # A release without a number can live with what its own revisions have taken away.
    await both.run(new("3b85009", EXPAND))
    await both.run({}, "downgrade", "-1")
    assert await floors(admin) == [None, "0.4.0", None]
    await both.run({}, "stamp", "head")
    assert (await floors(admin))[-1] == "0.4.0"


async def test_a_contract_revision_that_fails_leaves_none(
    server: Server, database: str, tmp_path: Path, admin: asyncpg.Connection
) -> None:
    body = REVISIONS["drop"] + '\nop.drop_column("staff", "missing")'
    failing = checkout_with(tmp_path, attributes=ATTRIBUTES, drop=body)
    assert alembic(server.environment(database), "upgrade", "head", cwd=failing).returncode == 1
    assert await floors(admin) == []


@pytest.mark.parametrize("is_applied", [True, False], ids=["before", "after"])
async def test_a_table_of_an_older_tool_gets_it_from_the_next_run(
    both: Release, admin: asyncpg.Connection, is_applied: bool
) -> None:
    """Whether that run applies the contract revision, or it was applied when the tool knew no floor."""
    if is_applied:
        await both.run({})
    await admin.execute("ALTER TABLE migration_history DROP COLUMN floor")
    await both.run({})
    assert await floors(admin) == [None, "0.4.0"]


async def test_a_release_is_not_jumped_over_while_its_contract_is_pending_and_older_ones_are_at_work(
    server: Server, database: str, tmp_path: Path
) -> None:
    release = Release(server, database, tmp_path / "release", "add", "drop", "gone")
    async with connected(server, database, "api@0.3.0", "api@0.5.0"):
        for command in (release.run(new("0.5.0", EXPAND), code=7), release.tool(new("0.5.0", EXPAND), "plan", code=7)):
            said = await command
            assert "release 0.5.0 would jump over release 0.4.0, whose contract revision drop is pending" in said
            assert "api@0.3.0 (1 session" in said
            assert "First roll out release 0.4.0 everywhere" in said
        assert await applied(server, database) == []
        await release.run(new("0.4.1", EXPAND))  # which corrects that release
        assert await applied(server, database) == ["add"]
