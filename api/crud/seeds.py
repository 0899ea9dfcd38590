"""The seed data: loaded from CSV files into a new zoo."""

from pathlib import Path

from sqlalchemy import exists, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.imports.load import load_csv
from api.crud.resources import RESOURCES, parents_first

# If two processes seed at the same moment, one does it, and the other finds the zoo filled. Reads go on meanwhile.
LOCK = text(f"LOCK TABLE {next(iter(RESOURCES.values())).quoted} IN SHARE ROW EXCLUSIVE MODE")


async def seed(session: AsyncSession, folder: Path) -> dict[str, int]:
    """Load `folder`'s file of each resource, such as animals.csv, if it has one, and return how many records of each.

    Nothing is loaded, and the result is empty, if the zoo has or had any record: deleted records do not come back.
    """
    await session.execute(LOCK)
    if await session.scalar(select(or_(*(exists(select(resource.model.id)) for resource in RESOURCES.values())))):
        return {}
    loaded = {}
    for resource in parents_first():
        path = folder / f"{resource.name}.csv"
        if path.exists():
            with path.open("rb") as file:
                loaded[resource.name] = (await load_csv(session, resource, file)).new
    return loaded
