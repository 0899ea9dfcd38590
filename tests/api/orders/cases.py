"""Who may do what with orders."""

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from tests.api.cases import KEEPER, USER, Case, Cases
from tests.api.orders.ordering import TEA, bring

CASES: Cases = {
    "GET /orders": Case(USER, 200),
    "POST /orders": Case(USER, 201, {"order": [TEA]}),
    "GET /orders/{order_id}": Case(USER, 200),
    "PUT /orders/{order_id}": Case(USER, 200, {"order": [TEA]}),
    "DELETE /orders/{order_id}": Case(USER, 204),
    "POST /orders/{order_id}/pay": Case(USER, 200),
    "POST /orders/{order_id}/cancel": Case(USER, 200),
    "POST /orders/{order_id}/advance": Case(KEEPER, 200),
    "GET /orders/{order_id}/events": Case(KEEPER, 200),
    "GET /docs/orders": Case("anybody", 200),
    "GET /openapi/orders.json": Case("anybody", 200),
}


async def fill(client: httpx.AsyncClient, _: AsyncSession, path: str) -> str:
    if "{order_id}" not in path:
        return path
    status = "paid" if path.endswith("/advance") else "created"
    return path.replace("/orders/{order_id}", await bring(client, status))
