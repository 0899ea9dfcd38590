"""/users: a user's own account, and for admins, all accounts."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.keeping import admin, database, keeping
from tests.api.users.test_auth import hashing_held_up, sign_in, token_of, until_it_is_hashed
from tests.bearer import bearer
from tests.conftest import WAITING, answering
from tests.users import PASSWORD, PEOPLE, email_of

__all__ = ["admin", "database", "keeping"]  # fixtures


async def find(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    (user,) = (await client.get("/users", params={"email": email_of(name)})).json()
    found: dict[str, Any] = user
    return found


class TestList:
    async def test_has_all_users_page_by_page(self, client: httpx.AsyncClient) -> None:
        for number in range(3):
            await client.post("/auth/register", json={"email": f"u{number}@zoo.example", "password": PASSWORD})
        everybody = (await client.get("/users")).json()
        assert len(everybody) == len(PEOPLE) + 3
        assert "password" not in "".join(everybody[0])
        paged: list[dict[str, Any]] = []
        url = "/users?limit=3"
        while url:
            page = await client.get(url)
            paged += page.json()
            url = page.links.get("next", {}).get("url", "")
        assert paged == everybody

    async def test_users_who_register_later_come_later(self, client: httpx.AsyncClient) -> None:
        made = []
        for number in range(3):
            answer = await client.post("/auth/register", json={"email": f"u{number}@a.example", "password": PASSWORD})
            made.append(answer.json()["id"])
        assert made == sorted(made)

    async def test_finds_an_address_in_any_case(self, client: httpx.AsyncClient) -> None:
        found = (await client.get("/users", params={"email": email_of("keeper").upper()})).json()
        assert [user["email"] for user in found] == [email_of("keeper")]

    async def test_an_invalid_query_is_422(self, client: httpx.AsyncClient) -> None:
        for query in ("limit=0", "limit=101", "after=1", "email=a%00", "email=" + "x" * 255, "type=admin"):
            answer = await client.get(f"/users?{query}")
            assert (answer.status_code, query) == (422, query)
            assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


class TestMe:
    async def test_users_cannot_raise_their_own_type(self, anonymous: httpx.AsyncClient) -> None:
        headers = bearer("visitor")
        for field in ("type", "is_active", "is_superuser", "is_verified", "id"):
            refused = await anonymous.patch("/users/me", json={field: "admin"}, headers=headers)
            assert (refused.status_code, field) == (422, field)
            assert refused.json()["detail"][0]["loc"] == ["body", field]
        assert (await anonymous.get("/users/me", headers=headers)).json()["type"] == "visitor"

    async def test_a_change_that_cannot_be_made_changes_nothing(self, anonymous: httpx.AsyncClient) -> None:
        headers = bearer("visitor")
        before = (await anonymous.get("/users/me", headers=headers)).json()
        for wrong, status in (
            ({"email": email_of("keeper").upper()}, 400), ({"email": "x"}, 422), ({"password": "short"}, 422),
            ({"password": None}, 422),
        ):  # fmt: skip
            body = {"password": PASSWORD, "current_password": PASSWORD, **wrong}
            refused = await anonymous.patch("/users/me", json=body, headers=headers)
            assert (refused.status_code, wrong) == (status, wrong)
            assert (await anonymous.get("/users/me", headers=headers)).json() == before

    async def test_the_password_is_not_the_address_not_even_the_new_one(self, anonymous: httpx.AsyncClient) -> None:
        for changes in (
            {"password": email_of("visitor").upper()},
            {"email": "Another@zoo.example", "password": "another@ZOO.example"},
        ):
            changes["current_password"] = PASSWORD
            refused = await anonymous.patch("/users/me", json=changes, headers=bearer("visitor"))
            assert refused.status_code == 422
            assert refused.json()["detail"][0]["loc"] == ["body", "password"]
        assert (await sign_in(anonymous, email_of("visitor"))).status_code == 200

    async def test_while_a_new_password_is_hashed_no_connection_is_held(self, server: Server, database: str) -> None:
        settings = Settings(database_url=server.url("zoo_api", database), database_pool_size=1)
        async with answering(create_app(settings)) as client:
            path = f"/users/{(await find(client, 'visitor'))['id']}"
            with hashing_held_up():
                change = asyncio.create_task(client.patch(path, json={"password": PASSWORD}))
                await until_it_is_hashed(change)
                assert (await client.get("/animals")).status_code == 200
            assert (await change).status_code == 200

    @pytest.mark.parametrize(
        ("meanwhile", "status"),
        [
            ("UPDATE access_tokens SET created_at = now() - interval '1 day'", 401),
            ("UPDATE users SET type = 'keeper' WHERE email LIKE 'admin%'", 403),
        ],
        ids=["expired", "demoted"],
    )
    async def test_a_user_who_loses_permission_while_the_password_is_hashed_changes_nothing(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, meanwhile: str, status: int
    ) -> None:
        path = f"/users/{(await find(committing_client, 'visitor'))['id']}"
        async with admin.transaction():
            await admin.execute("SELECT FROM users FOR UPDATE")
            change = asyncio.create_task(committing_client.patch(path, json={"password": "a giraffe in the rain"}))
            while not await admin.fetchval(WAITING):
                await asyncio.sleep(0.01)
            await admin.execute(meanwhile)
        answer = await change
        assert answer.status_code == status
        if status == 401:
            assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert (await sign_in(committing_client, email_of("visitor"))).status_code == 200


class TestAdmin:
    async def test_turns_a_visitor_into_a_keeper_at_once(
        self, client: httpx.AsyncClient, anonymous: httpx.AsyncClient
    ) -> None:
        headers = bearer("visitor")
        assert (await anonymous.post("/animals", json={"name": "A"}, headers=headers)).status_code == 403
        user = await find(client, "visitor")
        changed = (await client.patch(f"/users/{user['id']}", json={"type": "keeper"})).json()
        assert (changed["type"], changed["is_superuser"]) == ("keeper", False)
        assert (await anonymous.post("/animals", json={"name": "A"}, headers=headers)).status_code == 201
        changed = (await client.patch(f"/users/{user['id']}", json={"type": "admin"})).json()
        assert (changed["type"], changed["is_superuser"]) == ("admin", True)

    async def test_changes_only_the_fields_sent(self, client: httpx.AsyncClient) -> None:
        user = await find(client, "keeper")
        changed = (await client.patch(f"/users/{user['id']}", json={"is_verified": True})).json()
        assert changed == {**user, "is_verified": True, "updated_at": changed["updated_at"]}
        assert changed["updated_at"] > user["updated_at"]
        assert (await client.patch(f"/users/{user['id']}", json={})).json() == changed

    async def test_a_new_address_is_verified_only_if_the_admin_says_so(self, client: httpx.AsyncClient) -> None:
        path = f"/users/{(await find(client, 'keeper'))['id']}"
        for number, said in enumerate([{"is_verified": True}, {}]):
            changed = await client.patch(path, json={"email": f"k{number}@zoo.example", **said})
            assert changed.json()["is_verified"] is bool(said)

    async def test_deletes_an_account_and_its_tokens(
        self, client: httpx.AsyncClient, anonymous: httpx.AsyncClient
    ) -> None:
        token = await token_of(anonymous, email_of("visitor"))
        user = await find(client, "visitor")
        assert (await client.delete(f"/users/{user['id']}")).status_code == 204
        assert (await client.get(f"/users/{user['id']}")).status_code == 404
        assert (await client.delete(f"/users/{user['id']}")).status_code == 404
        assert (await anonymous.get("/users/me", headers=bearer(token))).status_code == 401
        # A user who registers again is another one.
        again = await anonymous.post("/auth/register", json={"email": user["email"], "password": PASSWORD})
        assert again.json()["id"] != user["id"]

    async def test_unknown_and_invalid_ids_are_404(self, client: httpx.AsyncClient) -> None:
        unknown = uuid4()
        for method in ("GET", "PATCH", "DELETE"):
            assert ((await client.request(method, "/users/7")).status_code, method) == (404, method)
            answer = await client.request(method, f"/users/{unknown}")
            assert (answer.status_code, answer.json()["detail"], method) == (404, f"No user {unknown}", method)

    async def test_the_last_active_admin_stays(self, client: httpx.AsyncClient) -> None:
        me = f"/users/{(await client.get('/users/me')).json()['id']}"
        expired = await find(client, "expired")  # an admin, too
        assert (await client.patch(f"/users/{expired['id']}", json={"is_active": False})).status_code == 200
        for refused in (
            await client.delete(me),
            await client.patch(me, json={"type": "keeper"}),
            await client.patch(me, json={"is_active": False}),
        ):
            assert refused.status_code == 409
            assert "last active admin" in refused.json()["detail"]
        assert (await client.patch(me, json={"type": "admin", "is_active": True})).status_code == 200
        assert (await client.patch(f"/users/{expired['id']}", json={"is_active": True})).status_code == 200
        assert (await client.delete(me)).status_code == 204
