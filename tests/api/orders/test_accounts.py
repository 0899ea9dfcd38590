"""What becomes of the orders of somebody whose account goes."""

import asyncpg
import httpx

from tests.api.orders.ordering import order
from tests.users import PASSWORD, VISITOR


async def test_they_stay_without_the_person(committing_client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    path = await order(committing_client)
    keyed = VISITOR | {"Idempotency-Key": "k"}
    assert (await committing_client.post(f"{path}/pay", headers=keyed)).status_code == 200
    user = await admin.fetchval("SELECT id FROM users WHERE type = 'visitor'")
    gone = await committing_client.request("DELETE", "/users/me", json={"password": PASSWORD}, headers=VISITOR)
    assert gone.status_code == 204
    for table in ("idempotency_keys", "orders", "order_events"):
        assert await admin.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", user) == 0
    assert (await committing_client.get(path)).json()["status"] == "paid"
