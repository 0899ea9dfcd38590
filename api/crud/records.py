"""What is done with the records of any resource: its SQL and its rules.

A record that belongs to others needs them: while it is created, moved or restored, they are locked against deletion,
and while there are such records, they can't be deleted.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Select, bindparam, func, insert, literal_column, select, tuple_, update

from api.crud.once import Readable
from api.crud.resource import Children, Reference, Resource, as_json
from api.database.counts import Counts
from api.database.driver import Database
from api.database.json_rows import JsonPage, JsonPages
from api.database.statements import Executor, ReadDatabase, Statement
from api.errors import Conflict, InvalidReference, NotFound
from api.http.etags import IfMatch
from api.models.base import Record, columns_of
from api.models.search import contains
from api.schemas.fields import PAGE_SIZE, PageQuery, RecordRead, RequestBody

# So many are sorted in some tens of milliseconds; a page of more, in ten million, is found in a tenth of a second.
FEW = 20_000


def live(model: type[Record]) -> Select[Any]:
    """The records that are not deleted."""
    return select(model).where(model.deleted_at.is_(None))


async def get(db: ReadDatabase, resource: Resource, record_id: int) -> RecordRead:
    """The live record `record_id`; NotFound without one."""
    record: RecordRead | None = await _get(resource).first(db, id=record_id)
    return _found(resource, record_id, record)


@cache
def _get(resource: Resource) -> Statement[RecordRead, ReadDatabase]:
    return Statement(_one(resource), resource.read)


def _one(resource: Resource) -> Select[Any]:
    found = live(resource.model).where(resource.model.id == bindparam("id"))
    return found.with_only_columns(*resource.columns.values())


def readable(resource: Resource) -> Readable:
    """What an answer is given again by: NotFound unless there is the record."""

    async def require_readable(db: Executor, _: object, record_id: str) -> None:
        await get(db, resource, int(record_id))

    return require_readable


async def _locked(db: Executor, resource: Resource, record_id: int, if_match: IfMatch) -> RecordRead:
    """The live record `record_id`, to be changed; NotFound without one, PreconditionFailed if `if_match` fails.

    It is the newest state, locked against changes until this transaction ends.
    """
    record: RecordRead | None = await _lock(resource).first(db, id=record_id)
    record = _found(resource, record_id, record)
    if_match.require(record)
    return record


@cache
def _lock(resource: Resource) -> Statement[RecordRead]:
    return Statement(_one(resource).with_for_update(key_share=True), resource.read)


async def list_page(db: ReadDatabase, resource: Resource, query: PageQuery) -> JsonPage:
    """The page of the live records that `query` asks for."""
    return await _page(db, resource, query, {name: getattr(query, name) for name in resource.filters})


async def list_page_of(db: ReadDatabase, parent_id: int, children: Children, query: PageQuery) -> JsonPage:
    """A page of the records that belong to the record `parent_id`; NotFound without that."""
    await get(db, children.parent, parent_id)
    filters = {name: getattr(query, name) for name in children.resource.filters if name != children.field}
    return await _page(db, children.resource, query, {children.field: parent_id, **filters})


async def _page(db: ReadDatabase, resource: Resource, query: PageQuery, filters: Mapping[str, Any]) -> JsonPage:
    values = {name: value for name, value in filters.items() if value is not None}
    if (part := getattr(query, "q", None)) is not None:
        values["q"] = part
    counts, is_search = _count(resource, frozenset(values)), _is_search(query.sort, values)
    estimated = await counts.estimate(db, **values) if is_search or query.count else 0
    counted = await counts.count(db, estimated, **values) if query.count else None
    if query.after is not None:
        values["after"] = query.after.id
        values["after_value"] = query.after.value
    if query.offset:
        values["offset"] = query.offset
    pages = _list(resource, query.sort, frozenset(values), gathered=is_search and estimated <= FEW)
    page = await pages.page(db, query.limit, **values)
    return replace(page, total=counted)


def _is_search(sort: str, filters: Mapping[str, Any]) -> bool:
    """Whether no index has what the filters find in this order: if it is little, it is gathered, and then sorted.

    Otherwise Postgres goes through the records in their order, and leaves out what is not wanted: if there is little of
    that, through all of them. It would decide itself, but for a prepared statement not by the values.
    """
    return "q" in filters or bool(filters and sort.removeprefix("-") != "id")


@cache
def _list(resource: Resource, sort: str, values: frozenset[str], *, gathered: bool) -> JsonPages:
    """The pages in this order, for this choice of filters, `after` and `offset`."""
    model, order = resource.model, sort.removeprefix("-")
    found = _filtered(resource, values).with_only_columns(*resource.columns.values())
    names = ["id"] if order == "id" else [order, "id"]
    if "after" in values:
        key = [getattr(model, name) for name in names]
        position = tuple_(
            *(bindparam("after_value", type_=column.type) for column in key[:-1]), bindparam("after", type_=BigInteger)
        )
        at = tuple_(*key)
        found = found.where(at < position if sort.startswith("-") else at > position)
    if gathered:
        # With an offset, it is a query of its own, of which Postgres does not know that only a page is wanted.
        found = select(found.offset(literal_column("0")).subquery("gathered"))
    columns = [found.selected_columns[name] for name in names]
    found = found.order_by(*(column.desc() if sort.startswith("-") else column for column in columns))
    if "offset" in values:
        found = found.offset(bindparam("offset", type_=BigInteger))
    return JsonPages(found, PAGE_SIZE, order=order)


@cache
def _count(resource: Resource, values: frozenset[str]) -> Counts:
    return Counts(_filtered(resource, values))


def _filtered(resource: Resource, values: frozenset[str]) -> Select[Any]:
    """The live records that the filters among `values` ask for."""
    found = live(resource.model)
    for name in sorted(values - {"after", "after_value", "offset", "q"}):
        found = found.where(getattr(resource.model, name) == bindparam(name))
    if "q" in values:
        assert resource.model.__label__ is not None  # see query_of()
        found = found.where(contains(columns_of(resource.model)[resource.model.__label__].name, "q"))
    return found


async def create(db: Database, resource: Resource, data: RequestBody) -> RecordRead:
    """A new record; InvalidReference if one that it belongs to does not exist."""
    values = data.model_dump()
    if not (parents := _parents(resource, values)):
        return await _insert(db, resource, values)
    async with db.begin() as transaction:
        await _require(transaction, parents)
        return await _insert(transaction, resource, values)


async def _insert(db: Executor, resource: Resource, values: dict[str, Any]) -> RecordRead:
    created: RecordRead | None = await _create(resource, tuple(values)).first(db, **values)
    assert created is not None
    return created


@cache
def _create(resource: Resource, fields: tuple[str, ...]) -> Statement[RecordRead]:
    statement = insert(resource.model).values({field: bindparam(field) for field in fields})
    return Statement(statement.returning(*resource.columns.values()), resource.read)


async def change(
    db: Database, resource: Resource, record_id: int, changes: RequestBody, if_match: IfMatch
) -> RecordRead:
    """Change what `changes` sets. If nothing differs, nothing is written and `updated_at` stays.

    NotFound without the record, PreconditionFailed if it is not as the client has seen it, InvalidReference if one that
    it is to belong to does not exist.
    """
    sent = changes.model_dump(exclude_unset=True)
    async with db.begin() as transaction:
        record = await _locked(transaction, resource, record_id, if_match)
        await _require(transaction, _parents(resource, sent))
        values = {field: value for field, value in sent.items() if _differ(resource, field, value, record)}
        if not values:
            return record
        changed: RecordRead | None = await _change(resource, tuple(values)).first(transaction, **values, id=record_id)
        assert changed is not None
        return changed


def _differ(resource: Resource, field: str, value: Any, record: RecordRead) -> bool:
    before = getattr(record, field)
    if field in resource.structured:
        return as_json(value) != as_json(before)  # to Python, 1 and true are equal
    return bool(value != before)


@cache
def _change(resource: Resource, fields: tuple[str, ...]) -> Statement[RecordRead]:
    statement = update(resource.model).where(resource.model.id == bindparam("id"))
    statement = statement.values({field: bindparam(field) for field in fields})
    return Statement(statement.returning(*resource.columns.values()), resource.read)


async def delete(db: Database, resource: Resource, record_id: int, if_match: IfMatch) -> RecordRead:
    """Mark a live record as deleted. Its row stays, but no request finds it.

    NotFound without one, PreconditionFailed if it is not as the client has seen it, Conflict while others belong to it.
    The lock prevents others from being added at the same moment: see `_require`.
    """
    if not if_match and not resource.children:
        return await _mark_deleted(db, resource, record_id)
    async with db.begin() as transaction:
        await _locked(transaction, resource, record_id, if_match)
        for children in resource.children:
            if await _has(children).first(transaction, id=record_id):
                raise Conflict(still_has(resource, record_id, children))
        return await _mark_deleted(transaction, resource, record_id)


def still_has(resource: Resource, record_id: int, children: Children) -> str:
    """Why a record can't be deleted."""
    record = f"{resource.noun[0].upper()}{resource.noun[1:]} {record_id}"
    return f"{record} still has {children.resource.name}: move or delete them first"


@cache
def _has(children: Children) -> Statement[bool]:
    model = children.resource.model
    belonging = live(model).where(getattr(model, children.field) == bindparam("id"))
    return Statement(select(belonging.with_only_columns(model.id).exists()), bool)


async def _mark_deleted(db: Executor, resource: Resource, record_id: int) -> RecordRead:
    record: RecordRead | None = await _delete(resource).first(db, id=record_id)
    return _found(resource, record_id, record)


@cache
def _delete(resource: Resource) -> Statement[RecordRead]:
    model = resource.model
    statement = update(model).where(model.id == bindparam("id"), model.deleted_at.is_(None))
    statement = statement.values(deleted_at=func.statement_timestamp())
    return Statement(statement.returning(*resource.columns.values()), resource.read)


async def restore(db: Database, resource: Resource, record_id: int, if_match: IfMatch) -> RecordRead:
    """Undo that a record was deleted: NotFound if it never existed, PreconditionFailed if it is not as the client has
    seen it, Conflict if one that it belongs to is deleted.
    """
    async with db.begin() as transaction:
        record: RecordRead | None = await _lock_any(resource).first(transaction, id=record_id)
        record = _found(resource, record_id, record)
        if_match.require(record)
        if record.deleted_at is not None:
            values = {"deleted_at": None, "id": record_id}
            record = _found(resource, record_id, await _change(resource, ("deleted_at",)).first(transaction, **values))
        for reference, parent_id in _parents(resource, vars(record)):
            if await _share(reference.parent).first(transaction, id=parent_id) is None:
                raise Conflict(still_deleted(reference, parent_id))
        return record


def still_deleted(reference: Reference, parent_id: int) -> str:
    """Why a record can't be restored."""
    return f"Its {reference.parent.noun} {parent_id} is deleted: restore that first"


@cache
def _lock_any(resource: Resource) -> Statement[RecordRead]:
    any_ = select(*resource.columns.values()).where(resource.model.id == bindparam("id"))
    return Statement(any_.with_for_update(key_share=True), resource.read)


def _found(resource: Resource, record_id: int, record: RecordRead | None) -> RecordRead:
    if record is None:
        raise NotFound(f"No {resource.noun} {record_id}")
    return record


def _parents(resource: Resource, values: Mapping[str, Any]) -> list[tuple[Reference, int]]:
    """What a record with these values belongs to."""
    found = [(reference, values.get(reference.field)) for reference in resource.references]
    return [(reference, parent_id) for reference, parent_id in found if parent_id is not None]


async def _require(transaction: Executor, parents: list[tuple[Reference, int]]) -> None:
    """Make sure that the parents are live until this transaction ends; InvalidReference if one is not.

    It takes a share lock, because a key-share lock (the foreign key's own) does not block the update that marks a
    record as deleted.
    """
    for reference, parent_id in parents:
        if await _share(reference.parent).first(transaction, id=parent_id) is None:
            raise InvalidReference(reference.field, f"No {reference.parent.noun} {parent_id}")


@cache
def _share(resource: Resource) -> Statement[int]:
    found = live(resource.model).where(resource.model.id == bindparam("id"))
    return Statement(found.with_for_update(read=True).with_only_columns(resource.model.id), int)
