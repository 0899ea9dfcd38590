"""Paying an order: a payment, and a place in the kitchen's schedule. No transaction is open while either is requested.

The order records the attempt (`is_being_paid`) from before the first call until all is stored. Whatever ends it in
between, the next one continues where it ended, with the same keys: nothing is paid twice, and no payment is lost.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from api.crud.accounts.access_tokens import Caller
from api.crud.orders import rules
from api.crud.orders.claims import claim, patiently
from api.crud.orders.rules import Action
from api.database.engine import Transactions
from api.database.errors import DATABASE_ERRORS, reason_of
from api.enums import OrderStatus
from api.errors import BadGateway, Conflict, ZooError
from api.external_services.http import ServiceError
from api.external_services.payments import Payment, PaymentStatus
from api.external_services.services import Services
from api.http.etags import IfMatch
from api.models import Order

# After how long the api itself settles what was left unsettled, and how often it looks for that.
UNSETTLED_FOR = timedelta(minutes=2)
SETTLE_EVERY_SECONDS = 60

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


async def pay(
    transactions: Transactions, services: Services, caller: Caller, order_id: UUID, if_match: IfMatch
) -> Order:
    """Pay an order, and schedule it in the kitchen. If it is paid already, nothing changes.

    NotFound without one, PreconditionFailed if it is not as the client has seen it, Conflict if it is cancelled or the
    payment is refused, BadGateway if a service fails, InProgress if another request takes too long to pay it. A payment
    that is pending leaves the order as it is, to be paid again.
    """

    async def begin() -> Order | Attempt | None:
        async with transactions() as session:
            locked = await rules.lock(session, caller, order_id, Action.PAY)
            rules.require_match(locked.order, if_match)
            if locked.target is locked.order.status:
                return locked.order
            return None if locked.is_claimed else await _begin(session, services, locked.order, caller.id)

    begun: Order | Attempt = await patiently(order_id, begin)
    return begun if isinstance(begun, Order) else await _settle(transactions, services, begun, caller.id)


async def _begin(session: AsyncSession, services: Services, order: Order, user_id: UUID | None) -> Order | Attempt:
    """The order, paid, if there is no service to call; otherwise an attempt, with the order claimed."""
    is_first = not order.is_being_paid
    if services.payments is None and order.payment_id is None:
        if not is_first and not order.is_paid_at_till:
            raise BadGateway("The payment was begun with a payments service that is no longer in the api's settings")
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


async def _settle(transactions: Transactions, services: Services, attempt: Attempt, user_id: UUID | None) -> Order:
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
            attempt = replace(attempt, is_paid=True, claimed_until=order.claimed_until)
        if services.kitchen:
            schedule_id = await services.kitchen.schedule(attempt.items, key=str(attempt.order_id))
    except ServiceError as error:
        async with transactions() as session:
            await _let_go(session, attempt, may_be_done=error.may_be_done)
        raise BadGateway(f"{error}: the order is unchanged, pay again") from error
    async with transactions() as session:
        order = await _locked(session, attempt.order_id)
        if order.status is OrderStatus.CREATED and order.is_being_paid:
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
        if order.status is OrderStatus.CREATED and order.deleted_at is None:
            order.is_being_paid = True
            await claim(session, order)
        elif order.status is OrderStatus.CANCELLED or order.deleted_at is not None:
            log.error("payment for an order that is gone", order=str(order.id), payment=payment.payment_id)
    elif payment.status is PaymentStatus.PENDING:
        if is_mine:
            order.claimed_until = None
    elif order.is_being_paid and order.payment_id is None and order.payments_refused == attempt.refused_before:
        order.is_being_paid = False
        order.payments_refused += 1
        order.claimed_until = None
    return order


async def _let_go(session: AsyncSession, attempt: Attempt, *, may_be_done: bool) -> None:
    """End the claim. If neither this attempt nor one before can have done anything, undo all traces of it."""
    order = await _locked(session, attempt.order_id)
    if order.claimed_until != attempt.claimed_until:  # it took too long, and another attempt has the claim
        return
    order.claimed_until = None
    if attempt.is_first and not may_be_done and order.payment_id is None:
        order.is_being_paid = order.is_paid_at_till = False


async def _locked(session: AsyncSession, order_id: UUID) -> Order:
    order, _ = await rules.lock_whatever(session, order_id)
    if order is None:
        raise rules.not_found(order_id)
    return order


def _close(session: AsyncSession, order: Order, user_id: UUID | None) -> None:
    order.is_being_paid = False
    order.claimed_until = None
    rules.move(session, order, OrderStatus.PAID, user_id)


async def keep_settling(transactions: Transactions, services: Services) -> None:
    """Settle, now and regularly, what was left unsettled, until cancelled. Many workers may do so at once.

    Without a service there is nothing to settle.
    """
    while services.payments or services.kitchen:
        try:
            await settle_all(transactions, services)
        except (ZooError, *DATABASE_ERRORS) as error:
            log.warning("payments left unsettled for now", reason=reason_of(error))
        except Exception:
            log.exception("payments left unsettled")
        await asyncio.sleep(SETTLE_EVERY_SECONDS)


async def settle_all(transactions: Transactions, services: Services) -> None:
    """Settle every payment that was left unsettled; BadGateway if a service fails, as it would for the next one."""
    last = UUID(int=0)
    while True:
        async with transactions() as session:
            order = await _next_unsettled(session, last)
            if order is None:
                return
            last = order.id
            begun = await _begin(session, services, order, None)
        if isinstance(begun, Attempt):
            try:
                await _settle(transactions, services, begun, None)
            except Conflict as error:
                log.info("payment not settled", order=str(begun.order_id), reason=error.detail)


async def _next_unsettled(session: AsyncSession, last: UUID) -> Order | None:
    now = func.statement_timestamp()
    return await session.scalar(
        select(Order)
        .where(Order.is_being_paid, Order.id > last, Order.updated_at <= now - UNSETTLED_FOR)
        .where(or_(Order.claimed_until.is_(None), Order.claimed_until <= now))
        .order_by(Order.id)
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True, of=Order)
        .options(selectinload(Order.items))
    )
