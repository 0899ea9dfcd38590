"""Entity tags of what is somebody's, and of accounts."""

import httpx
import pytest

from tests.api.records import make
from tests.api.test_etags import tag_of
from tests.bearer import bearer
from tests.conftest import Served
from tests.users import PASSWORD


@pytest.mark.parametrize("path", ["/users", "/users/me"])
async def test_what_has_not_changed_is_not_sent_again(client: httpx.AsyncClient, path: str) -> None:
    again = await client.get(path, headers={"If-None-Match": await tag_of(client, path)})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_refusal_is_never_replaced_by_a_304(anonymous: httpx.AsyncClient) -> None:
    refused = await anonymous.get("/animals.csv", headers={"If-None-Match": "*"})
    assert (refused.status_code, "ETag" in refused.headers) == (401, False)


async def test_keeps_a_personal_answer_from_being_stored(client: httpx.AsyncClient) -> None:
    tag = await tag_of(client, "/users/me")
    again = await client.get("/users/me", headers={"If-None-Match": tag})
    assert (again.status_code, again.headers["Cache-Control"]) == (304, "no-store")


async def test_a_token_has_no_tag(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/auth/register", json={"email": "a@zoo.example", "password": "a giraffe in rain"})
    assert answer.status_code == 201
    assert "ETag" not in answer.headers


async def test_a_client_that_lacks_permission_is_refused_first(client: httpx.AsyncClient, app: Served) -> None:
    path = f"/animals/{(await make(client, '/animals'))['id']}"
    visitor = app.client("visitor")
    assert (await visitor.patch(path, json={}, headers={"If-Match": '"x"'})).status_code == 403


async def test_an_account_is_changed_only_in_the_state_that_was_seen(client: httpx.AsyncClient, app: Served) -> None:
    found = (await client.get("/users", params={"email": "visitor@zoo.example"})).json()[0]
    path = f"/users/{found['id']}"
    seen = {"If-Match": await tag_of(client, path)}
    mine = app.client("visitor")
    assert (await mine.get("/users/me")).headers["ETag"] == seen["If-Match"]
    changed = await client.patch(path, json={"type": "keeper"}, headers=seen)
    assert (changed.status_code, changed.headers["ETag"]) == (200, await tag_of(client, path))
    assert (await client.patch(path, json={"type": "admin"}, headers=seen)).status_code == 412
    own = {"email": "moved@zoo.example", "current_password": PASSWORD}
    assert (await mine.patch("/users/me", json=own, headers=seen)).status_code == 412
    assert (await client.delete(path, headers=seen)).status_code == 412
    now = {"If-Match": changed.headers["ETag"]}
    moved = await mine.patch("/users/me", json=own, headers=now | bearer("visitor"))
    assert moved.status_code == 200
    assert (await client.delete(path, headers={"If-Match": moved.headers["ETag"]})).status_code == 204
