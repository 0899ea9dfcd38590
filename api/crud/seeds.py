"""The seed data: loaded from CSV files into a new zoo."""

from pathlib import Path

from sqlalchemy import exists, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.imports.load import load_csv
from api.crud.imports.targets import RESOURCES
from api.models import Exhibit

# If two processes seed at the same moment, one does it, and the other finds the zoo filled. Reads go on meanwhile.
LOCK = text(f"LOCK TABLE {Exhibit.__tablename__} IN SHARE ROW EXCLUSIVE MODE")


async def seed(session: AsyncSession, folder: Path) -> dict[str, int]:
    """Load `folder`'s exhibits.csv, animals.csv and staff.csv, and return how many of each.

    Nothing is loaded, and the result is empty, if the zoo has or had any record: deleted records do not come back.
    """
    await session.execute(LOCK)
    if await session.scalar(select(or_(*(exists(select(resource.model.id)) for resource in RESOURCES.values())))):
        return {}
    loaded = {}
    for name in RESOURCES:
        with (folder / f"{name}.csv").open("rb") as file:
            loaded[name] = (await load_csv(session, name, file)).new
    return loaded
