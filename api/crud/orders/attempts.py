"""An attempt to pay an order: a payment, and a place in the kitchen's schedule. No transaction is open while either is
requested.

The order records the attempt (`is_being_paid`) from before the first call until all is stored. Whatever ends it in
between, the next one continues where it ended, with the same keys: nothing is paid twice, and no payment is lost.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import or_
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.orders import rules
from api.crud.orders.claims import claim
from api.database.engine import Transactions
from api.enums.orders import OrderStatus
from api.errors import Conflict
from api.external_services.json_service import Failure, ServiceError
from api.external_services.payments import Payment, PaymentStatus
from api.external_services.services import Services
from api.models.orders import Order

# How often an order is tried before it is left to the keepers: with the pauses between, for some minutes if a service
# refuses it, and for some hours if a service fails in another way.
TRIES = {Failure.REFUSED: 3, Failure.FAILED: 10}
IS_PAID = or_(Order.payment_id.is_not(None), Order.is_paid_at_till)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Attempt:
    """What a worker needs to continue with an order that it has claimed."""

    order_id: UUID
    items: list[dict[str, Any]]
    claimed_until: datetime
    refused_before: int
    is_first: bool
    is_paid: bool

    @property
    def payment_key(self) -> str:
        """The order's id; after a refused payment, with a number, because a new payment is requested."""
        return str(self.order_id) if self.refused_before == 0 else f"{self.order_id}.{self.refused_before}"


async def begin(session: AsyncSession, services: Services, order: Order, user_id: UUID | None) -> Order | Attempt:
    """The order, paid, if there is no service to call; otherwise an attempt, with the order claimed.

    ServiceError if its payment was begun with a service that there is no longer.
    """
    is_first = not order.is_being_paid
    if services.payments is None and order.payment_id is None:
        if not is_first and not order.is_paid_at_till:
            raise ServiceError(
                "The payment was begun with a payments service that is no longer in the api's settings",
                service="payments service",
                failure=Failure.REFUSED,
                may_be_done=True,
            )
        order.is_paid_at_till = True
    is_paid = order.payment_id is not None or order.is_paid_at_till
    if is_paid and services.kitchen is None:
        _close(session, order, user_id)
        return order
    order.is_being_paid = True
    return Attempt(
        order.id,
        items=rules.items_as_json(order),
        claimed_until=await claim(session, order),
        refused_before=order.payments_refused,
        is_first=is_first,
        is_paid=is_paid,
    )


async def settle(transactions: Transactions, services: Services, attempt: Attempt, user_id: UUID | None) -> Order:
    """Do what is left of the attempt: the order, paid, or as it is if the payment is pending.

    Conflict if the payment is refused, ServiceError if a service fails.
    """
    schedule_id = None
    try:
        if services.payments and not attempt.is_paid:
            payment = await services.payments.pay(attempt.order_id, OrderStatus.CREATED.value, key=attempt.payment_key)
            async with transactions() as session:
                order = await _write_down(session, attempt, payment)
            if payment.status is PaymentStatus.INVALID:
                raise Conflict(f"The payment of order {attempt.order_id} was refused: pay again")
            if payment.status is PaymentStatus.PENDING or order.claimed_until is None:
                return order
            attempt = replace(attempt, claimed_until=order.claimed_until)
        if services.kitchen:
            schedule_id = await services.kitchen.schedule(attempt.items, key=str(attempt.order_id))
    except ServiceError as error:
        async with transactions() as session:
            await _let_go(session, attempt, error)
        raise
    async with transactions() as session:
        order = await _locked(session, attempt.order_id)
        if order.is_being_paid:
            order.schedule_id = schedule_id
            _close(session, order, user_id)
        elif schedule_id not in {None, order.schedule_id}:
            log.error("order scheduled twice", order=str(order.id), schedule=schedule_id)
        return order


async def _write_down(session: AsyncSession, attempt: Attempt, payment: Payment) -> Order:
    """Store the answer of the payments service, before anything else is requested."""
    order = await _locked(session, attempt.order_id)
    is_mine = order.claimed_until == attempt.claimed_until
    if payment.status is PaymentStatus.PAID:
        if order.payment_id not in {None, payment.payment_id} or order.is_paid_at_till:
            log.error("order paid twice", order=str(order.id), payment=payment.payment_id)
            return order
        order.payment_id = payment.payment_id
        order.settle_failures = 0  # from here on, those of the kitchen
        if order.status is OrderStatus.CREATED and order.deleted_at is None:
            order.is_being_paid = True
            await claim(session, order)
        elif order.status is OrderStatus.CANCELLED or order.deleted_at is not None:
            log.error("payment for an order that is gone", order=str(order.id), payment=payment.payment_id)
    elif payment.status is PaymentStatus.PENDING:
        if is_mine:
            order.claimed_until = None
    elif order.is_being_paid and order.payment_id is None and order.payments_refused == attempt.refused_before:
        _end(order)
        order.payments_refused += 1
    return order


async def _let_go(session: AsyncSession, attempt: Attempt, error: ServiceError) -> None:
    """End the claim. If neither this attempt nor one before can have done anything, undo all traces of it."""
    order = await _locked(session, attempt.order_id)
    if order.claimed_until != attempt.claimed_until:  # it took too long, and another attempt has the claim
        return
    order.claimed_until = None
    if attempt.is_first and not error.may_be_done and order.payment_id is None:
        order.is_being_paid = order.is_paid_at_till = False
    elif error.failure is not Failure.UNREACHABLE:
        _note(order, f"{error}: {error.said}".rstrip(": "), error.failure)


async def note_failure(
    transactions: Transactions, order_id: UUID, reason: str, failure: Failure = Failure.FAILED
) -> None:
    """Note that the order could not be settled; after some tries, it is left to the keepers."""
    async with transactions() as session:
        order = await _locked(session, order_id)
        if order.is_being_paid:
            order.claimed_until = None
            _note(order, reason, failure)


def _note(order: Order, reason: str, failure: Failure) -> None:
    order.settle_failures += 1
    if order.settle_failures >= TRIES[failure]:
        order.attention = reason


async def _locked(session: AsyncSession, order_id: UUID) -> Order:
    order, _ = await rules.lock_whatever(session, order_id)
    if order is None:
        raise rules.not_found(order_id)
    return order


def _end(order: Order) -> None:
    order.is_being_paid = False
    order.claimed_until = order.attention = None
    order.settle_failures = 0


def _close(session: AsyncSession, order: Order, user_id: UUID | None) -> None:
    _end(order)
    rules.move(session, order, OrderStatus.PAID, user_id)
