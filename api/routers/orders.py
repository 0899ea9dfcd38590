"""/orders: what visitors order at the kiosks, pay and cancel, and keepers advance."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from api.crud.orders import cancellations, payments, reads, rules
from api.dependencies import DatabaseDep, IfMatchDep, LinksDep, SessionDep, TransactionsDep
from api.dependencies.accounts import KEEPER, CallerDep
from api.dependencies.once import honours_key
from api.errors import BadGateway, NotFound
from api.external_services.services import Services
from api.http.openapi import (
    BODY,
    CHANGED,
    CREATED,
    DELETED,
    KEYED,
    RECORD,
    RESTRICTED,
    SIGNED_IN,
    errors,
    page,
    resource_router,
)
from api.models.orders import Order, OrderEvent
from api.schemas.orders import ORDER_BODY, EventList, OrderCreate, OrderList, OrderQuery, OrderRead, OrderUpdate
from api.state import state_of

router = resource_router("orders", max_body_size=ORDER_BODY)


async def get_services(request: Request) -> Services:
    """The services that orders are paid with and made by."""
    return state_of(request).services


ServicesDep = Annotated[Services, Depends(get_services)]

ORDER = "/{order_id}"
SETTLED = RESTRICTED | CHANGED | errors(NotFound, BadGateway) | KEYED
ONCE = honours_key(reads.require_visible)


@router.get("", response_model=OrderList, responses=page("the newest first") | SIGNED_IN)
async def list_orders(
    query: Annotated[OrderQuery, Query()], caller: CallerDep, db: DatabaseDep, links: LinksDep
) -> Response:
    """List orders, the newest first: your own, or all of them for keepers and admins."""
    return links.page(await reads.list_page(db, caller, query), "orders")


@router.post("", response_model=OrderRead, status_code=201, responses=CREATED | RESTRICTED | KEYED, dependencies=[ONCE])
async def create_order(data: OrderCreate, caller: CallerDep, session: SessionDep, links: LinksDep) -> Order:
    """Create an order."""
    return links.created(await rules.create(session, caller, data))


@router.get(ORDER, response_model=OrderRead, responses=RECORD | SIGNED_IN | errors(NotFound))
async def read_order(order_id: UUID, caller: CallerDep, session: SessionDep) -> Order:
    """Read an order."""
    return await reads.get(session, caller, order_id)


@router.put(
    ORDER,
    response_model=OrderRead,
    responses=BODY | RESTRICTED | CHANGED | errors(NotFound) | KEYED,
    dependencies=[ONCE],
)
async def replace_order(
    order_id: UUID, data: OrderUpdate, caller: CallerDep, session: SessionDep, if_match: IfMatchDep
) -> Order:
    """Replace the items of an order that has not been paid."""
    return await rules.replace(session, caller, order_id, data, if_match)


@router.delete(
    ORDER,
    status_code=204,
    response_class=Response,
    responses=RESTRICTED | DELETED | errors(NotFound) | KEYED,
    dependencies=[ONCE],
)
async def delete_order(order_id: UUID, caller: CallerDep, session: SessionDep, if_match: IfMatchDep) -> None:
    """Delete an order that is not being made."""
    await rules.remove(session, caller, order_id, if_match)


@router.post(ORDER + "/pay", response_model=OrderRead, responses=SETTLED, dependencies=[ONCE])
async def pay_order(
    order_id: UUID, caller: CallerDep, transactions: TransactionsDep, services: ServicesDep, if_match: IfMatchDep
) -> Order:
    """Pay an order. If it has been paid already, nothing changes; if the payment is pending, pay again later."""
    return await payments.pay(transactions, services, caller, order_id, if_match)


@router.post(ORDER + "/cancel", response_model=OrderRead, responses=SETTLED, dependencies=[ONCE])
async def cancel_order(
    order_id: UUID, caller: CallerDep, transactions: TransactionsDep, services: ServicesDep, if_match: IfMatchDep
) -> Order:
    """Cancel an order that has not been dispatched."""
    return await cancellations.cancel(transactions, services, caller, order_id, if_match)


@router.post(
    ORDER + "/advance",
    response_model=OrderRead,
    responses=RESTRICTED | CHANGED | errors(NotFound) | KEYED,
    dependencies=[KEEPER, ONCE],
)
async def advance_order(order_id: UUID, caller: CallerDep, session: SessionDep, if_match: IfMatchDep) -> Order:
    """Move a paid order one step forward: to progress, dispatched, delivered."""
    return await rules.advance(session, caller, order_id, if_match)


@router.get(
    ORDER + "/events", response_model=EventList, responses=RECORD | RESTRICTED | errors(NotFound), dependencies=[KEEPER]
)
async def list_order_events(order_id: UUID, caller: CallerDep, session: SessionDep) -> dict[str, Sequence[OrderEvent]]:
    """List the changes of an order's status, and who made them."""
    return {"events": await reads.list_events(session, caller, order_id)}
