"""What all resources share: reading live records and pages of them, changing and deleting a record."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    update,
)

from api.database.counts import Counts
from api.database.json_rows import JsonPage, JsonPages
from api.database.statements import Executor, Statement
from api.errors import NotFound
from api.http.etags import IfMatch
from api.models.base import Record
from api.models.search import contains
from api.schemas.fields import PAGE_SIZE, PageQuery, RecordRead, RequestBody, Sort

M = TypeVar("M", bound=Record)
R = TypeVar("R", bound=RecordRead)

# So many are sorted in some tens of milliseconds; a page of more, in ten million, is found in a tenth of a second.
FEW = 20_000


@dataclass(frozen=True)
class Resource(Generic[M, R]):
    """A table's model, the form in which clients get its records, and the word for one.

    `computed` are fields of that form that are no columns.
    """

    model: type[M]
    read: type[R]
    noun: str
    computed: Mapping[str, ColumnElement[Any]] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of `read`, in order."""
        return {
            field.name: self.computed[field.name].label(field.name)
            if field.name in self.computed
            else getattr(self.model, field.name)
            for field in dataclasses.fields(self.read)
        }


def live(model: type[M]) -> Select[M]:
    """The records that are not deleted."""
    return select(model).where(model.deleted_at.is_(None))


async def get(db: Executor, resource: Resource[M, R], record_id: int) -> R:
    """The live record `record_id`; NotFound without one."""
    record: R | None = await _get(resource).first(db, id=record_id)
    return _found(resource, record_id, record)


@cache
def _get(resource: Resource[M, R]) -> Statement[R]:
    return Statement(_one(resource), resource.read)


def _one(resource: Resource[M, R]) -> Select[Any]:
    found = live(resource.model).where(resource.model.id == bindparam("id"))
    return found.with_only_columns(*resource.columns.values())


async def lock(db: Executor, resource: Resource[M, R], record_id: int, if_match: IfMatch) -> R:
    """The live record `record_id`, to be changed; NotFound without one, PreconditionFailed if `if_match` fails.

    It is the newest state, locked against changes until this transaction ends.
    """
    record: R | None = await _lock(resource).first(db, id=record_id)
    record = _found(resource, record_id, record)
    if_match.require(record)
    return record


@cache
def _lock(resource: Resource[M, R]) -> Statement[R]:
    return Statement(_one(resource).with_for_update(key_share=True), resource.read)


async def list_page(db: Executor, resource: Resource[M, R], query: PageQuery, **filters: str | int | None) -> JsonPage:
    """The page of the live records that `query` asks for; a filter that is None is ignored."""
    values: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    if query.q is not None:
        values["q"] = query.q
    counted = await _count(resource, frozenset(values)).count(db, **values) if query.count else None
    gathered = await _are_few(db, resource, query.sort, values)
    if query.after is not None:
        values["after"] = query.after.id
        values["after_value"] = query.after.value
    if query.offset:
        values["offset"] = query.offset
    page = await _list(resource, query.sort, frozenset(values), gathered=gathered).page(db, query.limit, **values)
    return page if counted is None else replace(page, total=counted)


async def _are_few(db: Executor, resource: Resource[M, R], sort: Sort, filters: Mapping[str, Any]) -> bool:
    """Whether to gather all that the filters find, and sort that, because no index has it in this order.

    Otherwise Postgres goes through the records in their order, and leaves out what is not wanted: if there is little of
    that, through all of them. It would decide itself, but for a prepared statement not by the values.
    """
    if not filters or ("q" not in filters and sort.removeprefix("-") == "id"):
        return False
    return await _count(resource, frozenset(filters)).estimate(db, **filters) <= FEW


@cache
def _list(resource: Resource[M, R], sort: Sort, values: frozenset[str], *, gathered: bool) -> JsonPages:
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
def _count(resource: Resource[M, R], values: frozenset[str]) -> Counts:
    return Counts(_filtered(resource, values))


def _filtered(resource: Resource[M, R], values: frozenset[str]) -> Select[Any]:
    """The live records that the filters among `values` ask for."""
    found = live(resource.model)
    for name in sorted(values - {"after", "after_value", "offset", "q"}):
        found = found.where(getattr(resource.model, name) == bindparam(name))
    return found.where(contains("name", "q")) if "q" in values else found


async def create(db: Executor, resource: Resource[M, R], data: RequestBody) -> R:
    """Insert a record; its id and timestamps come back with it."""
    values = data.model_dump()
    created: R | None = await _create(resource, tuple(values)).first(db, **values)
    assert created is not None
    return created


@cache
def _create(resource: Resource[M, R], fields: tuple[str, ...]) -> Statement[R]:
    statement = insert(resource.model).values({field: bindparam(field) for field in fields})
    return Statement(statement.returning(*resource.columns.values()), resource.read)


async def change(db: Executor, resource: Resource[M, R], record: R, changes: RequestBody) -> R:
    """Change what `changes` sets. If nothing differs, nothing is written and `updated_at` stays."""
    sent = changes.model_dump(exclude_unset=True)
    values = {field: value for field, value in sent.items() if value != getattr(record, field)}
    if not values:
        return record
    changed: R | None = await _change(resource, tuple(values)).first(db, **values, record_id=record.id)
    assert changed is not None
    return changed


@cache
def _change(resource: Resource[M, R], fields: tuple[str, ...]) -> Statement[R]:
    statement = update(resource.model).where(resource.model.id == bindparam("record_id"))
    statement = statement.values({field: bindparam(field) for field in fields})
    return Statement(statement.returning(*resource.columns.values()), resource.read)


async def delete(db: Executor, resource: Resource[M, R], record_id: int) -> R:
    """Mark the live record `record_id` as deleted; NotFound without one. Its row stays, but no request finds it."""
    record: R | None = await _delete(resource).first(db, id=record_id)
    return _found(resource, record_id, record)


@cache
def _delete(resource: Resource[M, R]) -> Statement[R]:
    model = resource.model
    statement = update(model).where(model.id == bindparam("id"), model.deleted_at.is_(None))
    statement = statement.values(deleted_at=func.statement_timestamp())
    return Statement(statement.returning(*resource.columns.values()), resource.read)


async def restore(db: Executor, resource: Resource[M, R], record_id: int, if_match: IfMatch) -> R:
    """Undo that `record_id` was deleted: NotFound if it never existed, PreconditionFailed if `if_match` fails."""
    record: R | None = await _lock_any(resource).first(db, id=record_id)
    record = _found(resource, record_id, record)
    if_match.require(record)
    if record.deleted_at is None:
        return record
    restored: R | None = await _change(resource, ("deleted_at",)).first(db, deleted_at=None, record_id=record_id)
    return _found(resource, record_id, restored)


@cache
def _lock_any(resource: Resource[M, R]) -> Statement[R]:
    any_ = select(*resource.columns.values()).where(resource.model.id == bindparam("id"))
    return Statement(any_.with_for_update(key_share=True), resource.read)


def _found(resource: Resource[M, R], record_id: int, record: R | None) -> R:
    if record is None:
        raise NotFound(f"No {resource.noun} {record_id}")
    return record
