"""What one user may store, also with many requests at once."""

import asyncio

import asyncpg
import httpx
import pytest

from api.crud.orders import quotas
from tests.api.orders.ordering import CAKE, TEA, bring, order
from tests.api.users.test_auth import token_of
from tests.bearer import bearer
from tests.python import HANGS
from tests.users import KEEPER, PASSWORD, VISITOR

LARGEST = [TEA | {"product": "é" * 200}] * 100
LONG = LARGEST[:2]


async def post(client: httpx.AsyncClient, who: dict[str, str] = VISITOR, items: object = (TEA,)) -> int:
    return (await client.post("/orders", json={"order": list(items)}, headers=who)).status_code  # type: ignore[call-overload]


class TestOpenOrders:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quotas, "MAX_OPEN_ORDERS", 3)

    async def test_a_visitor_has_so_many_and_others_are_not_affected(
        self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = [await bring(client, status) for status in ("created", "paid", "dispatched")]
        refused = await client.post("/orders", json={"order": [TEA]}, headers=VISITOR)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "60"
        assert "3 open orders" in refused.json()["detail"]
        assert [await post(client, KEEPER) for _ in range(4)] == [201] * 4
        monkeypatch.setattr(quotas, "MAX_OPEN_ORDERS", 1)  # of a newer release: those that there are may be changed
        assert (await client.put(paths[0], json={"order": [CAKE]}, headers=VISITOR)).status_code == 200

    @pytest.mark.parametrize("end", ["cancel", "delete", "deliver"])
    async def test_one_that_ends_makes_room(self, client: httpx.AsyncClient, end: str) -> None:
        last = "dispatched" if end == "deliver" else "created"
        *_, path = [await bring(client, status) for status in ("created", "paid", last)]
        assert await post(client) == 429
        if end == "delete":
            assert (await client.delete(path, headers=VISITOR)).status_code == 204
        else:
            action, who = ("cancel", VISITOR) if end == "cancel" else ("advance", KEEPER)
            assert (await client.post(f"{path}/{action}", headers=who)).status_code == 200
        assert [await post(client), await post(client)] == [201, 429]

    async def test_those_of_others_do_not_count(self, client: httpx.AsyncClient) -> None:
        other = {"email": "other@zoo.example", "password": PASSWORD}
        assert (await client.post("/auth/register", json=other)).status_code == 201
        who = bearer(await token_of(client, other["email"]))
        assert [await post(client, who) for _ in range(4)] == [201, 201, 201, 429]
        assert [await post(client) for _ in range(4)] == [201, 201, 201, 429]

    async def test_a_visitor_does_not_wait_for_another(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        async with admin.transaction(), asyncio.timeout(HANGS):
            await admin.execute("SELECT FROM users WHERE type <> 'visitor' FOR NO KEY UPDATE")
            assert await post(committing_client) == 201

    async def test_of_many_at_once_no_more_get_through(self, committing_client: httpx.AsyncClient) -> None:
        statuses = await asyncio.gather(*(post(committing_client) for _ in range(8)))
        assert statuses.count(201) == 3
        assert set(statuses) <= {201, 429, 503}  # on a busy machine some wait for too long


class TestBytes:
    async def test_a_visitor_stores_a_few_megabytes_however_often_orders_are_deleted(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quotas, "MAX_BYTES", quotas.MAX_BYTES // 16)  # the rest would be the same
        made = 0
        while True:
            answer = await committing_client.post("/orders", json={"order": LARGEST}, headers=VISITOR)
            if answer.status_code == 429:
                break
            made += 1
            if made % 2:
                await committing_client.post(f"{answer.headers['Location']}/cancel", headers=VISITOR)
            await committing_client.delete(answer.headers["Location"], headers=VISITOR)
        assert made == quotas.MAX_BYTES // (100 * (400 + quotas.BYTES_OF_A_ROW) + quotas.BYTES_OF_A_ROW)
        assert await admin.fetchval("SELECT sum(octet_length(product)) FROM order_items") < quotas.MAX_BYTES
        assert await post(committing_client, KEEPER, LARGEST) == 201
        assert await post(committing_client) == 201  # a small one fits
        await admin.execute("DELETE FROM order_items")
        await admin.execute("UPDATE orders SET is_emptied = true WHERE deleted_at IS NOT NULL")
        assert await post(committing_client, items=LARGEST) == 201

    @pytest.mark.parametrize(("fit", "missing"), [(0, 1), (1, 0), (1, 1), (2, 0)])
    async def test_each_byte_counts_and_a_hundred_for_each_row(
        self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, fit: int, missing: int
    ) -> None:
        monkeypatch.setattr(quotas, "MAX_BYTES", (fit + missing) * (100 + 2 * (400 + 100)) - missing)
        assert [await post(client, items=LONG) for _ in range(fit + 1)] == [201] * fit + [429]

    async def test_items_in_place_of_others_count_instead_of_them(
        self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quotas, "MAX_BYTES", 2_000)
        path, other = await order(client, *LONG), await order(client)
        assert (await client.put(path, json={"order": LONG}, headers=VISITOR)).status_code == 200
        refused = await client.put(other, json={"order": LONG}, headers=VISITOR)
        assert (refused.status_code, "too much room" in refused.json()["detail"]) == (429, True)
        assert (await client.put(other, json={"order": LONG}, headers=KEEPER)).status_code == 200

    async def test_of_many_at_once_no_more_get_through(
        self, committing_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(quotas, "MAX_BYTES", 2_300)
        statuses = await asyncio.gather(*(post(committing_client, items=LONG) for _ in range(6)))
        assert statuses.count(201) == 2
        assert set(statuses) <= {201, 429, 503}
