"""Requests that may be sent twice, and are done once: a new order, and paying one."""

from collections.abc import Callable
from uuid import UUID

from api.crud.accounts.access_tokens import Caller
from api.crud.idempotency import Answer, Keep, Request, once
from api.crud.orders import payments, rules
from api.database.engine import Transactions
from api.external_services.services import Services
from api.http.etags import IfMatch
from api.models import Order
from api.schemas.orders import OrderCreate, OrderRead


async def create(
    transactions: Transactions, caller: Caller, data: OrderCreate, key: str | None, location: Callable[[UUID], str]
) -> Answer:
    """A new order of the caller. It and its answer are committed together: neither ever exists without the other."""

    async def work(keep: Keep) -> Answer:
        async with transactions() as session:
            order = await rules.create(session, caller, data)
            answer = Answer(201, _json(order), location(order.id))
            await keep(session, answer)
        return answer

    return await once(transactions, _request(caller, key, "POST /orders", data.model_dump_json()), work)


async def pay(  # noqa: PLR0913 - which order, with what, and under which conditions
    transactions: Transactions,
    services: Services,
    caller: Caller,
    order_id: UUID,
    key: str | None,
    *,
    if_match: IfMatch,
) -> Answer:
    """Pay an order; see `payments.pay`."""

    async def work(keep: Keep) -> Answer:
        answer = Answer(200, _json(await payments.pay(transactions, services, caller, order_id, if_match)))
        async with transactions() as session:
            await keep(session, answer)
        return answer

    return await once(transactions, _request(caller, key, f"POST /orders/{order_id}/pay"), work)


def _request(caller: Caller, key: str | None, operation: str, body: str = "") -> Request | None:
    return None if key is None else Request(caller.id, key, operation, body)


def _json(order: Order) -> str:
    return OrderRead.model_validate(order).model_dump_json()
