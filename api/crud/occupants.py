"""What animals and staff share: each of them may belong to an exhibit, which then has to be there."""

from typing import TypeVar

from api.crud import exhibits, records
from api.crud.records import Resource
from api.database.driver import Database
from api.models import Animal, Staff
from api.schemas.animals import AnimalCreate, AnimalRead, AnimalUpdate
from api.schemas.staff import StaffCreate, StaffRead, StaffUpdate

M = TypeVar("M", Animal, Staff)
R = TypeVar("R", AnimalRead, StaffRead)


async def create(db: Database, resource: Resource[M, R], data: AnimalCreate | StaffCreate) -> R:
    """A new record; InvalidReference where its exhibit does not exist."""
    if data.exhibit_id is None:
        return await records.create(db, resource, data)
    async with db.begin() as transaction:
        await exhibits.require(transaction, data.exhibit_id)
        return await records.create(transaction, resource, data)


async def update(db: Database, resource: Resource[M, R], record_id: int, changes: AnimalUpdate | StaffUpdate) -> R:
    """Change a record: NotFound without one, InvalidReference where its new exhibit does not exist."""
    async with db.begin() as transaction:
        record = await records.lock(transaction, resource, record_id)
        if changes.exhibit_id is not None:
            await exhibits.require(transaction, changes.exhibit_id)
        return await records.change(transaction, resource, record, changes)
