"""What clients see of orders: a page of them, a single one, and its events."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Select, Uuid, bindparam, cast, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from api.crud.accounts.access_tokens import Caller
from api.crud.orders.rules import not_found, visible
from api.database.json_rows import JsonPage, JsonPages, json_array
from api.database.statements import Executor, Statement
from api.models.orders import CANCELLED, NEEDS_ATTENTION, NOT_CANCELLED, NOT_DELETED, Order, OrderEvent, OrderItem
from api.schemas.fields import PAGE_SIZE
from api.schemas.orders import MAX_ITEMS, OrderQuery

NIL, BEYOND = UUID(int=0), UUID(int=2**128 - 1)  # RFC 9562, sections 5.9 and 5.10: never used as ids

_ITEM = select(OrderItem.product, OrderItem.size, OrderItem.quantity)
_ITEMS = _ITEM.where(OrderItem.order_id == Order.id).correlate(Order).order_by(OrderItem.position)
_ORDER = select(Order.id, Order.created_at.label("created"), Order.status)


def _with(items: Select[Any]) -> Select[Any]:
    return _ORDER.add_columns(cast(items.scalar_subquery(), JSON).label("order"))


IN_FULL = _with(json_array(_ITEMS.subquery("item")))
# Old orders may have ten times as many items as new ones.
UP_TO_MAX_ITEMS = _with(json_array(_ITEMS.limit(literal_column(str(MAX_ITEMS + 1))).subquery("item"), MAX_ITEMS))


async def list_page(db: Executor, caller: Caller, query: OrderQuery) -> JsonPage:
    """A page of the orders that the caller sees, the newest first: one statement, or two if it would be too large."""
    values = {"before": query.after or BEYOND, "user_id": caller.id, "nil": NIL}
    pages = _list(caller.sees_all, query.cancelled, query.needs_attention)
    return await pages.page(db, min(query.limit, PAGE_SIZE), **values)


@cache
def _list(everybodys: bool, cancelled: bool | None, needs_attention: bool | None) -> JsonPages:
    orders, in_full = (
        _which(
            _to_be_seen_to(
                rows.where({None: NOT_DELETED, True: CANCELLED, False: NOT_CANCELLED}[cancelled]), needs_attention
            ),
            everybodys,
        )
        for rows in (UP_TO_MAX_ITEMS, IN_FULL)
    )
    return JsonPages(orders, PAGE_SIZE, rows_in_full=in_full, may_lack="order")


def _to_be_seen_to(orders: Select[Any], needs_attention: bool | None) -> Select[Any]:
    if needs_attention is None:
        return orders
    if needs_attention:
        return orders.where(NEEDS_ATTENTION).add_columns(Order.attention)
    return orders.where(Order.attention.is_(None))


def _which(orders: Select[Any], everybodys: bool) -> Select[Any]:
    before = bindparam("before", type_=Uuid)
    if everybodys:
        return orders.where(Order.id < before).order_by(Order.id.desc())
    # As a range of both columns. With `user_id = ...`, Postgres may read everybody's orders and skip those of others,
    # because it expects that to be cheaper for a user with many orders.
    mine, user_id = tuple_(Order.user_id, Order.id), bindparam("user_id", type_=Uuid)
    orders = orders.where(mine > tuple_(user_id, bindparam("nil", type_=Uuid)), mine < tuple_(user_id, before))
    return orders.order_by(Order.user_id.desc(), Order.id.desc())


async def get(session: AsyncSession, caller: Caller, order_id: UUID) -> Order:
    """The order `order_id`; NotFound if there is none that the caller sees."""
    order = await session.scalar(visible(caller, order_id).options(selectinload(Order.items)))
    if order is None:
        raise not_found(order_id)
    return order


def _seen(everybodys: bool) -> Statement[Any]:
    found = select(Order.id).where(Order.id == bindparam("id", type_=Uuid), NOT_DELETED)
    if not everybodys:
        found = found.where(Order.user_id == bindparam("user_id", type_=Uuid))
    return Statement(found, lambda found: found)


_SEEN = {everybodys: _seen(everybodys) for everybodys in (True, False)}


async def require_visible(db: Executor, caller: Caller, order_id: str) -> None:
    """NotFound if there is no such order that the caller sees."""
    if await _SEEN[caller.sees_all].first(db, id=UUID(order_id), user_id=caller.id) is None:
        raise not_found(UUID(order_id))


async def list_events(session: AsyncSession, caller: Caller, order_id: UUID) -> Sequence[OrderEvent]:
    """The order's events, the oldest first; NotFound if there is none that the caller sees."""
    if await session.scalar(visible(caller, order_id).with_only_columns(Order.id)) is None:
        raise not_found(order_id)
    return (
        await session.scalars(select(OrderEvent).where(OrderEvent.order_id == order_id).order_by(OrderEvent.id))
    ).all()
