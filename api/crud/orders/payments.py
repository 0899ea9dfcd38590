"""Paying orders: at a client's request, and, where the result was left open, by the api itself.

One order's failure never keeps others from being settled: an order that fails is tried again later and later, and in
the end left to the keepers. Only a service that can't be reached ends a round, for all that need it.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from api.crud.accounts.access_tokens import Caller
from api.crud.orders import attempts, rules
from api.crud.orders.attempts import Attempt
from api.crud.orders.claims import patiently
from api.crud.orders.rules import Action
from api.crud.rounds import one_round
from api.database.engine import Transactions
from api.database.errors import DATABASE_ERRORS
from api.errors import BadGateway, Conflict, Unavailable
from api.external_services.json_service import Failure, ServiceError
from api.external_services.services import Services
from api.http.etags import IfMatch
from api.models.orders import Order

# After how long the api itself settles what was left unsettled, how often it looks for that, and how long it waits at
# most after several failures: twice as long after each.
UNSETTLED_FOR = timedelta(minutes=2)
SETTLE_EVERY_SECONDS = 60
LONGEST_PAUSE = timedelta(hours=1)
DOUBLINGS = 10

log = structlog.get_logger(__name__)


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
            return None if locked.is_claimed else await attempts.begin(session, services, locked.order, caller.id)

    try:
        begun: Order | Attempt = await patiently(order_id, begin)
        return begun if isinstance(begun, Order) else await attempts.settle(transactions, services, begun, caller.id)
    except ServiceError as error:
        raise BadGateway(f"{error}: the order is unchanged, pay again") from error


async def keep_settling_orders(transactions: Transactions, services: Services) -> None:
    """Settle, now and regularly, what was left unsettled, until cancelled. Many workers may do so at once.

    Without a service there is nothing to settle.
    """
    while services.payments or services.kitchen:
        with one_round("settlement", "payments left unsettled"):
            await settle_all(transactions, services)
        await asyncio.sleep(SETTLE_EVERY_SECONDS)


async def settle_all(transactions: Transactions, services: Services) -> None:
    """Settle every payment that was left unsettled, and that is not left to the keepers.

    Whatever one of them fails with, the next one follows, unless it needs a service that can't be reached.
    """
    last = UUID(int=0)
    which: ColumnElement[bool] = true()
    while (order_id := await _next_unsettled(transactions, last, which)) is not None:
        last = order_id
        try:
            await _settle(transactions, services, order_id)
        except Conflict as error:
            log.info("payment not settled", order=str(order_id), reason=error.detail)
        except ServiceError as error:
            log.warning("payment left unsettled for now", order=str(order_id), reason=str(error))
            if error.failure is Failure.UNREACHABLE:
                if services.payments is None or error.service != services.payments.name:
                    return
                which = attempts.IS_PAID
        except (Unavailable, *DATABASE_ERRORS):
            raise
        except Exception:
            log.exception("payment left unsettled", order=str(order_id))
            await attempts.note_failure(transactions, order_id, "It can't be settled: the api's log says why")


async def _next_unsettled(transactions: Transactions, last: UUID, which: ColumnElement[bool]) -> UUID | None:
    async with transactions() as session:
        return await session.scalar(
            select(Order.id).where(_is_due(), Order.id > last, which).order_by(Order.id).limit(1)
        )


async def _settle(transactions: Transactions, services: Services, order_id: UUID) -> None:
    try:
        async with transactions() as session:
            order = await _lock_due(session, order_id)
            begun = None if order is None else await attempts.begin(session, services, order, None)
    except ServiceError as error:  # there is no such service any more
        await attempts.note_failure(transactions, order_id, str(error), error.failure)
        raise
    if isinstance(begun, Attempt):
        await attempts.settle(transactions, services, begun, None)


async def _lock_due(session: AsyncSession, order_id: UUID) -> Order | None:
    """The order, locked, if it is still to be settled, and no other worker is about to."""
    due = select(Order).where(Order.id == order_id, _is_due())
    locked = due.with_for_update(key_share=True, skip_locked=True, of=Order).options(selectinload(Order.items))
    return await session.scalar(locked)


def _is_due() -> ColumnElement[bool]:
    now = func.statement_timestamp()
    pause = func.least(UNSETTLED_FOR * func.power(2, func.least(Order.settle_failures, DOUBLINGS)), LONGEST_PAUSE)
    return and_(
        Order.is_being_paid,
        Order.attention.is_(None),
        Order.updated_at <= now - pause,
        or_(Order.claimed_until.is_(None), Order.claimed_until <= now),
    )
