"""Limits on the bodies of orders: what exceeds them is refused before it is processed."""

import httpx
import pytest

from api.schemas.orders import OrderCreate
from tests.api.orders.ordering import TEA
from tests.api.test_bounds import JSON, findings_of, refuses_over
from tests.conftest import Served
from tests.each import each


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "streamed"])
async def test_a_body_over_64_kib_is_413_and_one_of_that_size_is_read(
    client: httpx.AsyncClient, announced: bool
) -> None:
    await refuses_over(64, client, "/orders", announced=announced)


@pytest.mark.parametrize(("who", "status"), [(None, 401), ("visitor", 422)])
async def test_only_who_may_order_learns_what_is_wrong_with_the_body(app: Served, who: str | None, status: int) -> None:
    assert (await app.client(who).post("/orders", content=b"{", headers=JSON)).status_code == status


@each(
    "body, most",
    [
        ({f"a{n}": 0 for n in range(20_000)}, 1),
        ({"order": [{}] * 20_000}, 1),
        ({"order": [{f"a{n}": 0 for n in range(100)}] * 100}, 100),
        ({"order": [{f"a{n}": 0 for n in range(6)}] * 100}, 800),
    ],
)
def test_findings_are_limited_when_they_are_made(body: object, most: int) -> None:
    assert findings_of(OrderCreate, body) <= most


async def test_errors_do_not_repeat_the_input_and_are_bounded(client: httpx.AsyncClient) -> None:
    items: list[object] = [{"secret" * 20: "secret" * 20} for _ in range(30)]
    answer = await client.post("/orders", json={"order": items})
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) == 20
    assert len(answer.content) < 6000
    assert "secretsecret" * 10 not in answer.text


async def test_an_order_has_a_hundred_items_at_most(client: httpx.AsyncClient) -> None:
    longest = TEA | {"product": "x" * 200}
    made = await client.post("/orders", json={"order": [longest] * 100})
    assert made.status_code == 201
    refused = await client.post("/orders", json={"order": [TEA] * 101})
    (found,) = refused.json()["detail"]
    assert (refused.status_code, found["loc"]) == (422, ["body", "order"])
    assert "100" in found["msg"]
