"""The seed: loaded once, into a zoo that has and had nothing."""

from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.seeds import seed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seed data of one resource, of several."""
    (tmp_path / "animals.csv").write_text("name,species\nAmara,Lion\nBo,Otter\n")
    return tmp_path


async def test_it_loads_what_there_is_a_file_of_and_only_once(
    client: httpx.AsyncClient, session: AsyncSession, folder: Path
) -> None:
    assert await seed(session, folder) == {"animals": 2}
    assert await seed(session, folder) == {}
    await session.commit()
    assert [animal["name"] for animal in (await client.get("/animals?sort=id")).json()] == ["Amara", "Bo"]


async def test_what_was_deleted_does_not_come_back(
    client: httpx.AsyncClient, session: AsyncSession, folder: Path
) -> None:
    made = await client.post("/animals", json={"name": "Zuri"})
    assert (await client.delete(made.headers["Location"])).status_code == 200
    assert await seed(session, folder) == {}
    assert (await client.get("/animals")).json() == []


async def test_while_it_loads_another_waits(session: AsyncSession, folder: Path) -> None:
    await seed(session, folder)
    held = "SELECT count(*) FROM pg_locks WHERE mode = 'ShareRowExclusiveLock' AND pid = pg_backend_pid()"
    assert await session.scalar(text(held)) == 1
