"""An order is changed only in the state that its client has seen."""

from typing import Any

import httpx

from tests.api.orders.ordering import TEA, order
from tests.api.test_etags import tag_of

CHANGES: tuple[tuple[str, str, Any, int], ...] = (
    ("PUT", "", {"order": [TEA, TEA]}, 200),
    ("POST", "/pay", None, 200),
    ("POST", "/advance", None, 200),
    ("POST", "/cancel", None, 200),
    ("DELETE", "", None, 204),
)


async def test_from_one_step_to_the_next_by_the_tags_of_the_answers(client: httpx.AsyncClient) -> None:
    made = await client.post("/orders", json={"order": [TEA]})
    path, tag = made.headers["Location"], made.headers["ETag"]
    for method, action, body, status in CHANGES:
        assert tag == await tag_of(client, path)
        stale = {"If-Match": f'"{"0" * 32}"'}
        refused = await client.request(method, path + action, json=body, headers=stale)
        assert refused.status_code == 412, (method, action)
        answer = await client.request(method, path + action, json=body, headers={"If-Match": tag})
        assert answer.status_code == status, (method, action, answer.text)
        tag = answer.headers.get("ETag", "")
    assert (await client.get(path)).status_code == 404


async def test_a_change_that_the_status_does_not_allow_is_409_whatever_the_tag(client: httpx.AsyncClient) -> None:
    path = await order(client)
    stale = {"If-Match": await tag_of(client, path)}
    await client.post(path + "/pay")
    assert (await client.put(path, json={"order": [TEA]}, headers=stale)).status_code == 409


async def test_a_payment_refused_by_its_tag_may_be_sent_again_with_its_key(client: httpx.AsyncClient) -> None:
    path, key = await order(client), {"Idempotency-Key": "one"}
    refused = await client.post(path + "/pay", headers={**key, "If-Match": '"another"'})
    assert refused.status_code == 412
    tag = await tag_of(client, path)
    paid = await client.post(path + "/pay", headers={**key, "If-Match": tag})
    assert (paid.status_code, paid.json()["status"]) == (200, "paid")
    again = await client.post(path + "/pay", headers={**key, "If-Match": tag})
    assert (again.status_code, again.json(), again.headers["ETag"]) == (200, paid.json(), paid.headers["ETag"])


async def test_the_list_has_a_tag(client: httpx.AsyncClient) -> None:
    await order(client)
    tag = await tag_of(client, "/orders")
    assert (await client.get("/orders", headers={"If-None-Match": tag})).status_code == 304
