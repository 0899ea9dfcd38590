"""The floor: the first release of the app that can work with the schema."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection

from alembic_online.errors import ReleaseBelowFloor
from alembic_online.runs.contract import floor_of
from alembic_online.runs.floor import read_floor, require_not_below_floor
from local.postgres import Server
from tests.alembic_online.sessions import look
from tests.alembic_online.test_phases import revision
from tests.alembic_online.zoo import ZOO
from tests.conftest import clone, drop, superuser
from tests.each import each

MOVE = "INSERT INTO migration_history (revision, direction, floor) VALUES ('r', 'upgrade', $1)"


@each(
    "releases, floor",
    [
        ([], None),
        ([None], None),
        (["0.4.0"], "0.4.0"),
        (["0.4.0", None, "0.5.0"], "0.5.0"),
        (["0.10.0", "0.9.0"], "0.10.0"),
        (["1.0rc1", "1.0", "0.9"], "1.0"),
    ],
)
def test_it_is_the_newest_release_that_a_contract_revision_names(releases: list[str | None], floor: str | None) -> None:
    named = [{"phase": "contract", "safe_from_release": release} if release else {} for release in releases]
    assert floor_of(revision(**attributes) for attributes in named) == floor


@pytest.fixture
def floor(server: Server, database: str) -> Callable[[], Any]:
    return partial(look, server, database, read_floor)


async def test_it_is_what_the_newest_move_has_left(floor: Callable[[], Any], admin: asyncpg.Connection) -> None:
    assert await floor() is None
    for moved_to in ("0.4.0", "0.5.0", "0.4.0", None):
        await admin.execute(MOVE, moved_to)
        assert await floor() == moved_to


@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE migration_history DROP COLUMN floor", "DROP TABLE migration_history"],
    ids=["column", "table"],
)
async def test_there_is_none_where_nothing_has_written_one(
    floor: Callable[[], Any], admin: asyncpg.Connection, change: str
) -> None:
    await admin.execute(change)
    assert await floor() is None


def said(connection: Connection, release: str) -> str | None:
    """Why the release is refused."""
    try:
        require_not_below_floor(connection, replace(ZOO, release=release))
    except ReleaseBelowFloor as error:
        return str(error)
    finally:
        assert not connection.in_transaction()  # Alembic begins its own
    return None


@pytest.mark.parametrize("release", ["0.0.1", "dev"])
async def test_none_is_refused_where_there_is_none(server: Server, module_database: str, release: str) -> None:
    assert await look(server, module_database, partial(said, release=release)) is None


@pytest.fixture(scope="module")
async def with_floor(server: Server, maintenance: asyncpg.Connection) -> AsyncIterator[str]:
    """A database whose floor is 0.4.0."""
    name = await clone(maintenance)
    admin = await superuser(server, name)
    await admin.execute(MOVE, "0.4.0")
    await admin.close()
    yield name
    await drop(maintenance, name)


@pytest.mark.parametrize(
    ("release", "is_refused"),
    [
        *((release, False) for release in ("0.4.0", "0.4.1", "0.10")),
        *((release, True) for release in ("0.3.9", "0.4.0rc1", "dev", "3b85009")),
    ],
)
async def test_a_release_below_it_and_one_without_a_number_is_refused(
    server: Server, with_floor: str, release: str, is_refused: bool
) -> None:
    why = await look(server, with_floor, partial(said, release=release))
    assert (why is not None) == is_refused
    if why is not None:
        assert f"release {release} of the app" in why
        assert "Roll out release 0.4.0" in why
        assert ("is not a version number" in why) == (release in {"dev", "3b85009"})
