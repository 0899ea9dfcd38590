"""The seed data: loaded from CSV files into a new zoo."""

from pathlib import Path

from sqlalchemy import exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.imports.load import load_csv
from api.crud.imports.targets import RESOURCES

# If two processes seed at the same moment, one does it, and the other finds the zoo filled.
LOCK_KEY = int.from_bytes(b"zoo/seed")


async def seed(session: AsyncSession, folder: Path) -> dict[str, int]:
    """Load `folder`'s exhibits.csv, animals.csv and staff.csv, and return how many of each.

    Nothing is loaded, and the result is empty, if the zoo has or had any record: deleted records do not come back.
    """
    await session.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
    if await session.scalar(select(or_(*(exists(select(resource.model.id)) for resource in RESOURCES.values())))):
        return {}
    loaded = {}
    for name in RESOURCES:
        with (folder / f"{name}.csv").open("rb") as file:
            loaded[name] = (await load_csv(session, name, file)).new
    return loaded
