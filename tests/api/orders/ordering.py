"""Orders for tests."""

from typing import Any

import httpx

from tests.users import ADMIN, KEEPER, VISITOR

TEA = {"product": "Tea", "size": "small", "quantity": 1}
CAKE = {"product": "Cake", "size": "big", "quantity": 3}
STEPS = ("created", "paid", "progress", "dispatched", "delivered")


async def order(client: httpx.AsyncClient, *items: dict[str, Any], who: dict[str, str] | None = None) -> str:
    """The path of a new order."""
    answer = await client.post("/orders", json={"order": list(items) or [TEA]}, headers=who or VISITOR)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


async def bring(client: httpx.AsyncClient, status: str) -> str:
    """The path of a new order with this status."""
    path = await order(client)
    if status == "cancelled":
        assert (await client.post(f"{path}/cancel", headers=VISITOR)).status_code == 200
        return path
    for step in STEPS[1 : STEPS.index(status) + 1]:
        answer = await client.post(f"{path}/{'pay' if step == 'paid' else 'advance'}", headers=KEEPER)
        assert answer.json()["status"] == step, answer.text
    return path


async def status_of(client: httpx.AsyncClient, path: str) -> str:
    return str((await client.get(path, headers=ADMIN)).json()["status"])


async def events_of(client: httpx.AsyncClient, path: str) -> list[tuple[str | None, str]]:
    """The changes of its status, from and to."""
    events = (await client.get(f"{path}/events", headers=ADMIN)).json()["events"]
    return [(event["from"], event["to"]) for event in events]
