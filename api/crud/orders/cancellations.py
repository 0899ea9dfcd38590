"""Cancelling an order: first with the services, if they have to know, then here.

The kitchen has to, if the order is in its schedule. If the api could not settle the order, keepers may cancel it: then
what was paid is given back. They find the order until that is done.
"""

from datetime import datetime
from uuid import UUID

from api.crud.accounts.access_tokens import Caller
from api.crud.orders import rules
from api.crud.orders.claims import claim, patiently
from api.crud.orders.rules import Action
from api.database.engine import Transactions
from api.enums.orders import OrderStatus
from api.errors import BadGateway, Conflict
from api.external_services.json_service import ServiceError
from api.external_services.services import Services
from api.http.etags import IfMatch
from api.models.orders import Order

UNKNOWN = "Cancelled, but a payment may have been made: look for it in the payments service, then cancel it again"


async def cancel(
    transactions: Transactions, services: Services, caller: Caller, order_id: UUID, if_match: IfMatch
) -> Order:
    """Cancel an order. If it is cancelled already, nothing changes.

    NotFound without one, PreconditionFailed if it is not as the client has seen it, Conflict if it was dispatched or
    its payment is not settled, unless that is left to the caller, BadGateway if the kitchen fails, InProgress if
    another request takes too long to cancel it.
    """

    async def begin() -> tuple[Order, datetime | None] | None:
        async with transactions() as session:
            locked = await rules.lock(session, caller, order_id, Action.CANCEL)
            order = locked.order
            is_left_to_caller = order.attention is not None and caller.sees_all
            if not is_left_to_caller:
                rules.refuse_unsettled(order, Action.CANCEL)
            rules.require_match(order, if_match)
            if locked.is_claimed:
                return None
            if is_left_to_caller:  # cancelled before anything is given back, so that nobody pays it meanwhile
                order.attention = _owed(order)
                order.is_being_paid = False
                rules.move(session, order, locked.target, caller.id)
                return order, None if order.payment_id is None else await claim(session, order)
            if order.schedule_id and services.kitchen and locked.target is not order.status:
                return order, await claim(session, order)
            rules.move(session, order, locked.target, caller.id)
            return order, None

    order, claimed_until = await patiently(order_id, begin)
    if claimed_until is not None and order.attention is not None:
        return await _give_back(transactions, services, order)
    if claimed_until is None:
        return order
    assert order.schedule_id  # or there was nothing to claim it for
    assert services.kitchen
    try:
        await services.kitchen.cancel(order.schedule_id, rules.items_as_json(order), key=str(order_id))
    except ServiceError as error:
        await _let_go(transactions, order_id, claimed_until)
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


async def _let_go(transactions: Transactions, order_id: UUID, claimed_until: datetime) -> None:
    async with transactions() as session:
        found, _ = await rules.lock_whatever(session, order_id)
        if found is not None and found.claimed_until == claimed_until:
            found.claimed_until = None


def _owed(order: Order) -> str | None:
    """What keepers have to know of an order that is cancelled before it was settled."""
    if order.payment_id is not None:
        return f"Cancelled, but payment {order.payment_id} is not given back: cancel it again"
    return UNKNOWN if order.is_being_paid and not order.is_paid_at_till else None


async def _give_back(transactions: Transactions, services: Services, order: Order) -> Order:
    """Give back what was paid; until that is done, keepers see the order, and why."""
    assert order.payment_id  # or nothing would be owed
    problem = None
    try:
        if services.payments is None:
            problem = f"{order.attention} when there is a payments service"
        else:
            await services.payments.refund(order.payment_id, order.id, key=f"{order.id}.refund")
    except ServiceError as error:
        problem = f"{order.attention} ({error}: {error.said}".rstrip(": ") + ")"
    async with transactions() as session:
        found, _ = await rules.lock_whatever(session, order.id)
        if found is None:
            raise rules.not_found(order.id)
        found.claimed_until = None
        found.attention = problem
        return found
