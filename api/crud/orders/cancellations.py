"""Cancelling an order: first with the kitchen, if it is in its schedule, then here."""

from datetime import datetime
from uuid import UUID

from api.crud.accounts.access_tokens import Caller
from api.crud.orders import rules
from api.crud.orders.claims import claim, patiently
from api.crud.orders.rules import Action
from api.database.engine import Transactions
from api.enums import OrderStatus
from api.errors import BadGateway, Conflict
from api.external_services.http import ServiceError
from api.external_services.services import Services
from api.http.etags import IfMatch
from api.models import Order


async def cancel(
    transactions: Transactions, services: Services, caller: Caller, order_id: UUID, if_match: IfMatch
) -> Order:
    """Cancel an order. If it is cancelled already, nothing changes.

    NotFound without one, PreconditionFailed if it is not as the client has seen it, Conflict if it was dispatched or
    its payment is not settled, BadGateway if the kitchen fails, InProgress if another request takes too long to cancel
    it.
    """

    async def begin() -> tuple[Order, datetime | None] | None:
        async with transactions() as session:
            locked = await rules.lock(session, caller, order_id, Action.CANCEL)
            order = locked.order
            rules.refuse_unsettled(order, Action.CANCEL)
            rules.require_match(order, if_match)
            if locked.is_claimed:
                return None
            if order.schedule_id and services.kitchen and locked.target is not order.status:
                return order, await claim(session, order)
            rules.move(session, order, locked.target, caller.id)
            return order, None

    order, claimed_until = await patiently(order_id, begin)
    if claimed_until is None or order.schedule_id is None or services.kitchen is None:
        return order
    items = rules.items_as_json(order)
    try:
        await services.kitchen.cancel(order.schedule_id, items, key=str(order_id))
    except ServiceError as error:
        async with transactions() as session:
            found, _ = await rules.lock_whatever(session, order_id)
            if found is not None and found.claimed_until == claimed_until:
                found.claimed_until = None
        raise BadGateway(f"{error}: the order is unchanged, cancel it again") from error
    async with transactions() as session:
        found, _ = await rules.lock_whatever(session, order_id)
        if found is None or OrderStatus.CANCELLED not in {
            found.status,
            rules.TRANSITIONS[Action.CANCEL].get(found.status),
        }:
            raise Conflict(f"Order {order_id} was advanced while it was cancelled in the kitchen")
        found.claimed_until = None
        rules.move(session, found, OrderStatus.CANCELLED, caller.id)
        return found
