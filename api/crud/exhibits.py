"""Exhibits: their SQL and their rules."""

from sqlalchemy import bindparam, select

from api.crud import records
from api.crud.accounts.access_tokens import Caller
from api.crud.records import Resource
from api.database.driver import Database
from api.database.json_rows import JsonPage
from api.database.statements import Executor, ReadDatabase, Statement
from api.errors import Conflict, InvalidReference
from api.http.etags import IfMatch
from api.models import Animal, Exhibit, Staff
from api.schemas.exhibits import ExhibitCreate, ExhibitQuery, ExhibitRead, ExhibitUpdate

EXHIBIT = Resource(Exhibit, ExhibitRead, "exhibit")

_LIVE = records.live(Exhibit).where(Exhibit.id == bindparam("id"))
_SHARE = Statement(_LIVE.with_for_update(read=True).with_only_columns(Exhibit.id), int)


def _has(occupant: type[Animal] | type[Staff]) -> Statement[bool]:
    belonging = records.live(occupant).where(occupant.exhibit_id == bindparam("id"))
    return Statement(select(belonging.with_only_columns(occupant.id).exists()), bool)


_OCCUPANTS = {"animals": _has(Animal), "staff": _has(Staff)}


async def list_page(db: ReadDatabase, query: ExhibitQuery) -> JsonPage:
    """A page of the exhibits."""
    return await records.list_page(db, EXHIBIT, query, location=query.location)


async def require_readable(db: Executor, _: Caller, exhibit_id: str) -> None:
    """NotFound unless there is the exhibit."""
    await get(db, int(exhibit_id))


async def get(db: ReadDatabase, exhibit_id: int) -> ExhibitRead:
    """The exhibit `exhibit_id`; NotFound without one."""
    return await records.get(db, EXHIBIT, exhibit_id)


async def create(db: Executor, data: ExhibitCreate) -> ExhibitRead:
    """A new exhibit."""
    return await records.create(db, EXHIBIT, data)


async def update(db: Database, exhibit_id: int, changes: ExhibitUpdate, if_match: IfMatch) -> ExhibitRead:
    """Change an exhibit: NotFound without one, PreconditionFailed if it is not as the client has seen it."""
    async with db.begin() as transaction:
        exhibit = await records.lock(transaction, EXHIBIT, exhibit_id, if_match)
        return await records.change(transaction, EXHIBIT, exhibit, changes)


async def delete(db: Database, exhibit_id: int, if_match: IfMatch) -> ExhibitRead:
    """Delete an exhibit: NotFound without one, PreconditionFailed if it is not as the client has seen it, Conflict
    while animals or staff belong to it.

    The lock prevents others from being added at the same moment: see `require`.
    """
    async with db.begin() as transaction:
        await records.lock(transaction, EXHIBIT, exhibit_id, if_match)
        for occupants, are_there in _OCCUPANTS.items():
            if await are_there.first(transaction, id=exhibit_id):
                raise Conflict(f"Exhibit {exhibit_id} still has {occupants}: move or delete them first")
        return await records.delete(transaction, EXHIBIT, exhibit_id)


async def restore(db: Database, exhibit_id: int, if_match: IfMatch) -> ExhibitRead:
    """Undo that an exhibit was deleted: NotFound if it never existed, PreconditionFailed if it is not as the client has
    seen it.
    """
    async with db.begin() as transaction:
        return await records.restore(transaction, EXHIBIT, exhibit_id, if_match)


async def require(transaction: Executor, exhibit_id: int) -> None:
    """Make sure that an exhibit is live until this transaction ends; InvalidReference without one.

    It takes a share lock, because a key-share lock (the foreign key's own) does not block the update that marks it as
    deleted.
    """
    if await _SHARE.first(transaction, id=exhibit_id) is None:
        raise InvalidReference("exhibit_id", f"No exhibit {exhibit_id}")
