"""What clients see of orders: a page of them, one, and what has become of one."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Boolean, Uuid, any_, bindparam, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.orders import not_found, visible
from api.crud.records import Page
from api.crud.users import Caller
from api.enums import OrderStatus, Size
from api.models import Order, OrderEvent, OrderItem
from api.models.orders import CANCELLED, NOT_CANCELLED, NOT_DELETED
from api.schemas.orders import PAGE_SIZE, ItemRead, OrderQuery, OrderRead
from api.statements import Database, Statement

NIL, BEYOND = UUID(int=0), UUID(int=2**128 - 1)  # RFC 9562, sections 5.9 and 5.10: nobody's id

_COLUMNS = Order.id, Order.created_at, Order.status


def _without_items(order_id: UUID, created: datetime, status: str) -> OrderRead:
    return OrderRead(order_id, created, OrderStatus(status), [])


_GET = Statement(
    select(*_COLUMNS).where(
        Order.id == bindparam("id"),
        or_(bindparam("everybodys", type_=Boolean), Order.user_id == bindparam("user_id")),
        Order.deleted_at.is_(None),
    ),
    _without_items,
)
_ITEMS = Statement(
    select(OrderItem.order_id, OrderItem.product, OrderItem.size, OrderItem.quantity)
    .where(OrderItem.order_id == any_(bindparam("order_ids", type_=ARRAY(Uuid))))
    .order_by(OrderItem.order_id, OrderItem.position),
    lambda order_id, product, size, quantity: (order_id, ItemRead(product, Size(size), quantity)),
)


async def list_page(db: Database, caller: Caller, query: OrderQuery) -> Page[OrderRead]:
    """A page of the orders that the caller sees, the newest first: two statements, however many there are."""
    limit = min(query.limit, PAGE_SIZE)
    values: dict[str, Any] = {"before": query.after or BEYOND, "limit": limit + 1}  # one tells whether there is more
    if not caller.sees_all:
        values |= {"user_id": caller.id, "nil": NIL}
    found: list[OrderRead] = await _list(caller.sees_all, query.cancelled).all(db, **values)
    page = Page.of(found, limit)
    await _fill(db, page.records)
    return page


@cache
def _list(everybodys: bool, cancelled: bool | None) -> Statement[OrderRead]:
    wanted = {None: NOT_DELETED, True: CANCELLED, False: NOT_CANCELLED}[cancelled]
    statement = select(*_COLUMNS).where(wanted).limit(bindparam("limit", type_=BigInteger))
    before = bindparam("before", type_=Uuid)
    if everybodys:
        return Statement(statement.where(Order.id < before).order_by(Order.id.desc()), _without_items)
    # As a range of both columns. A user's equality would let Postgres read everybody's orders in their place and drop
    # those of others, which is what it expects to be cheaper for whoever has many.
    mine, user_id = tuple_(Order.user_id, Order.id), bindparam("user_id", type_=Uuid)
    statement = statement.where(mine > tuple_(user_id, bindparam("nil", type_=Uuid)), mine < tuple_(user_id, before))
    return Statement(statement.order_by(Order.user_id.desc(), Order.id.desc()), _without_items)


async def get(db: Database, caller: Caller, order_id: UUID) -> OrderRead:
    """The order `order_id`; NotFound where there is none that the caller sees."""
    order = await _GET.first(db, id=order_id, everybodys=caller.sees_all, user_id=caller.id)
    if order is None:
        raise not_found(order_id)
    await _fill(db, [order])
    return order


async def _fill(db: Database, orders: Sequence[OrderRead]) -> None:
    items = {order.id: order.order for order in orders}
    for order_id, item in await _ITEMS.all(db, order_ids=list(items)):
        items[order_id].append(item)


def shown(order: Order) -> OrderRead:
    """What a client gets of `order`, whose items are loaded."""
    items = [ItemRead(item.product, item.size, item.quantity) for item in order.items]
    return OrderRead(order.id, order.created_at, order.status, items)


async def list_events(session: AsyncSession, caller: Caller, order_id: UUID) -> Sequence[OrderEvent]:
    """What has become of the order, from its beginning; NotFound where there is none that the caller sees."""
    if await session.scalar(visible(caller, order_id).with_only_columns(Order.id)) is None:
        raise not_found(order_id)
    return (
        await session.scalars(select(OrderEvent).where(OrderEvent.order_id == order_id).order_by(OrderEvent.id))
    ).all()
