"""What clients see of orders: a page of them, one, and what has become of one."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Uuid, bindparam, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from api.crud.access_tokens import Caller
from api.crud.orders import not_found, visible
from api.crud.records import Page
from api.json_rows import JsonRow, as_json, as_json_array
from api.models import Order, OrderEvent, OrderItem
from api.models.orders import CANCELLED, NOT_CANCELLED, NOT_DELETED
from api.schemas.orders import PAGE_SIZE, OrderQuery
from api.statements import Database, Statement

NIL, BEYOND = UUID(int=0), UUID(int=2**128 - 1)  # RFC 9562, sections 5.9 and 5.10: nobody's id

_ITEM = as_json(OrderItem, {"product": OrderItem.product, "size": OrderItem.size, "quantity": OrderItem.quantity})
_ITEMS = select(as_json_array(_ITEM, OrderItem.position)).where(OrderItem.order_id == Order.id).correlate(Order)
_ORDER = as_json(
    Order,
    {"id": Order.id, "created": Order.created_at, "status": Order.status, "order": _ITEMS.scalar_subquery()},
)


async def list_page(db: Database, caller: Caller, query: OrderQuery) -> Page[JsonRow]:
    """A page of the orders that the caller sees, the newest first: one statement, however many there are."""
    limit = min(query.limit, PAGE_SIZE)
    values: dict[str, Any] = {"before": query.after or BEYOND, "limit": limit + 1}
    if not caller.sees_all:
        values |= {"user_id": caller.id, "nil": NIL}
    found: list[JsonRow] = await _list(caller.sees_all, query.cancelled).all(db, **values)
    return Page.of(found, limit)  # the one beyond tells whether there is more


@cache
def _list(everybodys: bool, cancelled: bool | None) -> Statement[JsonRow]:
    wanted = {None: NOT_DELETED, True: CANCELLED, False: NOT_CANCELLED}[cancelled]
    statement = select(Order.id, _ORDER).where(wanted).limit(bindparam("limit", type_=BigInteger))
    before = bindparam("before", type_=Uuid)
    if everybodys:
        return Statement(statement.where(Order.id < before).order_by(Order.id.desc()), JsonRow)
    # As a range of both columns. A user's equality would let Postgres read everybody's orders in their place and drop
    # those of others, which is what it expects to be cheaper for whoever has many.
    mine, user_id = tuple_(Order.user_id, Order.id), bindparam("user_id", type_=Uuid)
    statement = statement.where(mine > tuple_(user_id, bindparam("nil", type_=Uuid)), mine < tuple_(user_id, before))
    return Statement(statement.order_by(Order.user_id.desc(), Order.id.desc()), JsonRow)


async def get(session: AsyncSession, caller: Caller, order_id: UUID) -> Order:
    """The order `order_id`; NotFound where there is none that the caller sees."""
    order = await session.scalar(visible(caller, order_id).options(selectinload(Order.items)))
    if order is None:
        raise not_found(order_id)
    return order


async def list_events(session: AsyncSession, caller: Caller, order_id: UUID) -> Sequence[OrderEvent]:
    """What has become of the order, from its beginning; NotFound where there is none that the caller sees."""
    if await session.scalar(visible(caller, order_id).with_only_columns(Order.id)) is None:
        raise not_found(order_id)
    return (
        await session.scalars(select(OrderEvent).where(OrderEvent.order_id == order_id).order_by(OrderEvent.id))
    ).all()
