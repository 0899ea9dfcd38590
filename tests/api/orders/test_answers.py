"""What answers about orders have: methods, and headers for browsers."""

import httpx

from tests.api.orders.ordering import order


async def test_options_lists_the_methods(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.options("/orders/d9b1a5f0-0000-7000-8000-000000000000")
    assert (answer.status_code, answer.headers["Allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, PUT")


async def test_they_must_not_be_stored(client: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    for answer in (
        await client.get("/orders"),
        await client.get(await order(client)),
        await client.head("/orders"),
        await anonymous.get("/orders"),
    ):
        assert answer.headers.get_list("Cache-Control") == ["no-store"], answer.request.url
