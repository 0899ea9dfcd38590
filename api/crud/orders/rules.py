"""Orders: their SQL, and the rules for changing them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload
from uuid_utils.compat import uuid7

from api.crud.accounts.access_tokens import Caller
from api.crud.orders.metrics import count_once_committed
from api.crud.orders.quotas import require_room
from api.enums.orders import OrderStatus
from api.errors import Conflict, InProgress, NotFound
from api.http.etags import IfMatch
from api.models.orders import Order, OrderEvent, OrderItem
from api.schemas.orders import ItemCreate, OrderCreate, OrderRead, OrderUpdate

S = OrderStatus


class Action(Enum):
    """What can be done with an order; the value is its participle, for messages."""

    REPLACE = "changed"
    DELETE = "deleted"
    PAY = "paid"
    CANCEL = "cancelled"
    ADVANCE = "advanced"


# All steps. A step to the status that the order has already is allowed, and changes nothing.
TRANSITIONS: Mapping[Action, Mapping[OrderStatus, OrderStatus]] = {
    Action.REPLACE: {S.CREATED: S.CREATED},
    Action.DELETE: {status: status for status in (S.CREATED, S.CANCELLED, S.DELIVERED)},
    Action.PAY: {S.CREATED: S.PAID} | {status: status for status in (S.PAID, S.PROGRESS, S.DISPATCHED, S.DELIVERED)},
    Action.CANCEL: dict.fromkeys([S.CREATED, S.PAID, S.PROGRESS, S.CANCELLED], S.CANCELLED),
    Action.ADVANCE: {S.PAID: S.PROGRESS, S.PROGRESS: S.DISPATCHED, S.DISPATCHED: S.DELIVERED},
}


async def create(session: AsyncSession, caller: Caller, data: OrderCreate) -> Order:
    """A new order of the caller; TooManyRequests if the caller has no room for it."""
    await require_room(session, caller, data.order)
    order = Order(id=uuid7(), user_id=caller.id, items=_items(data.order))
    session.add(order)
    await session.flush()  # its timestamp and status are in the answer, and the event refers to it
    _record(session, OrderEvent(order_id=order.id, to_status=order.status, user_id=caller.id))
    return order


async def replace(session: AsyncSession, caller: Caller, order_id: UUID, data: OrderUpdate, if_match: IfMatch) -> Order:
    """Replace an order's items: NotFound without one, Conflict unless it is new, PreconditionFailed if it is not as the
    client has seen it, TooManyRequests if the caller has no room for them.
    """
    await require_room(session, caller, data.order, replaced=order_id)
    order = (await lock(session, caller, order_id, Action.REPLACE)).order
    refuse_unsettled(order, Action.REPLACE)
    require_match(order, if_match)
    order.items = _items(data.order)
    order.updated_at = func.statement_timestamp()
    return order


async def remove(session: AsyncSession, caller: Caller, order_id: UUID, if_match: IfMatch) -> None:
    """Mark an order as deleted: NotFound without one, Conflict while it is being paid or made, PreconditionFailed if it
    is not as the client has seen it.
    """
    order = (await lock(session, caller, order_id, Action.DELETE)).order
    refuse_unsettled(order, Action.DELETE)
    require_match(order, if_match)
    order.deleted_at = func.statement_timestamp()


async def advance(session: AsyncSession, caller: Caller, order_id: UUID, if_match: IfMatch) -> Order:
    """Move an order one step forward: NotFound without one, Conflict if there is no such step, PreconditionFailed if it
    is not as the client has seen it.
    """
    locked = await lock(session, caller, order_id, Action.ADVANCE)
    if locked.is_claimed:
        raise InProgress(f"Order {order_id} is being cancelled: ask again in a moment")
    require_match(locked.order, if_match)
    move(session, locked.order, locked.target, caller.id)
    return locked.order


@dataclass(frozen=True)
class Locked:
    """An order, locked until the transaction ends; its new status, which may be the one it has; and whether a worker
    waits for an outside service about it.
    """

    order: Order
    target: OrderStatus
    is_claimed: bool


async def lock(session: AsyncSession, caller: Caller, order_id: UUID, action: Action) -> Locked:
    """The order, for `action`: NotFound if the caller sees none, Conflict if its status does not allow that.

    A request that had to wait for another one sees what that did to the order. If it was the same step, nothing is left
    to do: if two advance an order at once, it moves one step. If it was another step, this one is refused: a client
    that cancels an order which was new a moment ago does not mean to cancel one that is paid.
    """
    seen = await session.scalar(visible(caller, order_id).with_only_columns(Order.status))
    if seen is None:
        raise not_found(order_id)
    target = _target(order_id, seen, action)
    order, is_claimed = await lock_whatever(session, order_id)
    if order is None or order.deleted_at is not None:
        raise not_found(order_id)
    if order.status not in {seen, target}:
        target = _target(order_id, order.status, action)
        if target is not order.status:
            raise Conflict(
                f"Order {order_id} has become {order.status} at this moment: read it again before it is {action.value}"
            )
    return Locked(order, order.status if order.status is not seen else target, is_claimed)


async def lock_whatever(session: AsyncSession, order_id: UUID) -> tuple[Order | None, bool]:
    """The order, whatever its state, until the transaction ends; and whether a worker has claimed it."""
    statement = select(Order, func.coalesce(Order.claimed_until > func.statement_timestamp(), False))
    found = await session.execute(
        statement.where(Order.id == order_id)
        .with_for_update(key_share=True, of=Order)
        .options(selectinload(Order.items))
    )
    row = found.one_or_none()
    return (None, False) if row is None else (row[0], row[1])


def move(session: AsyncSession, order: Order, target: OrderStatus, user_id: UUID | None) -> None:
    """Set an order's status to `target`, and record that, and who did it."""
    if target is order.status:
        return
    _record(session, OrderEvent(order_id=order.id, from_status=order.status, to_status=target, user_id=user_id))
    order.status = target


def _record(session: AsyncSession, change: OrderEvent) -> None:
    """Store a change with the order, and count it once it is committed."""
    session.add(change)
    count_once_committed(session, change)


def refuse_unsettled(order: Order, action: Action) -> None:
    """Conflict while a payment may have been made that is not recorded yet."""
    if order.is_being_paid:
        raise Conflict(
            f"Order {order.id} can't be {action.value} while its payment is not settled: pay again, which settles "
            "it, and never pays twice"
        )


def require_match(order: Order, if_match: IfMatch) -> None:
    """PreconditionFailed if the order is not as the client has seen it."""
    if if_match:
        if_match.require(OrderRead.model_validate(order))


def items_as_json(order: Order) -> list[dict[str, Any]]:
    """An order's items, as they are sent to outside services."""
    return [{"product": item.product, "size": item.size.value, "quantity": item.quantity} for item in order.items]


def not_found(order_id: UUID) -> NotFound:
    """There is no such order for this caller."""
    return NotFound(f"No order {order_id}")


def _target(order_id: UUID, status: OrderStatus, action: Action) -> OrderStatus:
    target = TRANSITIONS[action].get(status)
    if target is None:
        raise Conflict(f"Order {order_id} is {status}: it can't be {action.value}")
    return target


def visible(caller: Caller, order_id: UUID) -> Select[Order]:
    """The order `order_id`, if the caller may see it."""
    statement = select(Order).where(Order.id == order_id, Order.deleted_at.is_(None))
    return statement if caller.sees_all else statement.where(Order.user_id == caller.id)


def _items(data: Sequence[ItemCreate]) -> list[OrderItem]:
    return [OrderItem(position=position, **item.model_dump()) for position, item in enumerate(data)]
