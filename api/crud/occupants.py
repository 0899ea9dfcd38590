"""What the resources share that may belong to an exhibit, which then has to be there."""

from api.crud import exhibits, records
from api.crud.records import M, R, Resource
from api.database.driver import Database
from api.schemas.fields import RequestBody


async def create(db: Database, resource: Resource[M, R], data: RequestBody, exhibit_id: int | None) -> R:
    """A new record; InvalidReference where `exhibit_id`, which is its exhibit, does not exist."""
    if exhibit_id is None:
        return await records.create(db, resource, data)
    async with db.begin() as transaction:
        await exhibits.require(transaction, exhibit_id)
        return await records.create(transaction, resource, data)


async def update(
    db: Database, resource: Resource[M, R], record_id: int, changes: RequestBody, exhibit_id: int | None
) -> R:
    """Change a record: NotFound without one, InvalidReference where `exhibit_id`, its new exhibit, does not exist."""
    async with db.begin() as transaction:
        record = await records.lock(transaction, resource, record_id)
        if exhibit_id is not None:
            await exhibits.require(transaction, exhibit_id)
        return await records.change(transaction, resource, record, changes)
