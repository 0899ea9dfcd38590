"""What occurs twice in a request about orders is refused."""

import httpx

from tests.api.orders.ordering import TEA, order
from tests.api.test_said_twice import JSON, found


async def test_a_repeated_parameter(client: httpx.AsyncClient) -> None:
    assert found(await client.get("/orders?cancelled=true&cancelled=false")) == ("repeated", ["query", "cancelled"])


async def test_an_unknown_parameter(client: httpx.AsyncClient) -> None:
    assert found(await client.post("/orders?x=1")) == ("extra_forbidden", ["query", "x"])


async def test_a_repeated_key(client: httpx.AsyncClient) -> None:
    path = await order(client)
    item = '{"product": "Tea", "size": "big", "quantity": 1, "quantity": 1000000}'
    for method, url, body in [
        ("POST", "/orders", f'{{"order": [{item}]}}'),
        ("PUT", path, f'{{"order": [{item}], "order": []}}'),
    ]:
        answer = await client.request(method, url, content=body, headers=JSON)
        assert found(answer) == ("repeated", ["body", "quantity"])
    assert (await client.get(path)).json()["order"] == [TEA]
