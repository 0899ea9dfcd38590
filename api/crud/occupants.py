"""What the resources share whose records may belong to an exhibit, which then has to exist."""

from api.crud import exhibits, records
from api.crud.records import M, R, Resource
from api.database.driver import Database
from api.errors import Conflict, InvalidReference
from api.http.etags import IfMatch
from api.schemas.fields import RequestBody


async def create(db: Database, resource: Resource[M, R], data: RequestBody, exhibit_id: int | None) -> R:
    """A new record; InvalidReference if `exhibit_id`, its exhibit, does not exist."""
    if exhibit_id is None:
        return await records.create(db, resource, data)
    async with db.begin() as transaction:
        await exhibits.require(transaction, exhibit_id)
        return await records.create(transaction, resource, data)


async def update(  # noqa: PLR0913 - which record, what of it, and under which condition
    db: Database,
    resource: Resource[M, R],
    record_id: int,
    changes: RequestBody,
    exhibit_id: int | None,
    *,
    if_match: IfMatch,
) -> R:
    """Change a record: NotFound without one, PreconditionFailed if it is not as the client has seen it,
    InvalidReference if `exhibit_id`, its new exhibit, does not exist.
    """
    async with db.begin() as transaction:
        record = await records.lock(transaction, resource, record_id, if_match)
        if exhibit_id is not None:
            await exhibits.require(transaction, exhibit_id)
        return await records.change(transaction, resource, record, changes)


async def delete(db: Database, resource: Resource[M, R], record_id: int, if_match: IfMatch) -> R:
    """Delete a record: NotFound without one, PreconditionFailed if it is not as the client has seen it."""
    if not if_match:
        return await records.delete(db, resource, record_id)
    async with db.begin() as transaction:
        await records.lock(transaction, resource, record_id, if_match)
        return await records.delete(transaction, resource, record_id)


async def restore(db: Database, resource: Resource[M, R], record_id: int, if_match: IfMatch) -> R:
    """Undo that a record was deleted: NotFound if it never existed, PreconditionFailed if it is not as the client has
    seen it, Conflict if its exhibit is deleted.
    """
    async with db.begin() as transaction:
        record = await records.restore(transaction, resource, record_id, if_match)
        if (exhibit_id := getattr(record, "exhibit_id", None)) is not None:
            try:
                await exhibits.require(transaction, exhibit_id)
            except InvalidReference as error:
                raise Conflict(f"Its exhibit {exhibit_id} is deleted: restore that first") from error
        return record
