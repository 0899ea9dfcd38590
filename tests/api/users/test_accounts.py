"""Changing and deleting one's own account, addresses of a developer's machine, and the forms of signing in."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api.crud.accounts import sign_ins
from api.external_services.mail import Mail
from api.main import create_app
from api.settings import Settings
from tests.api.keeping import admin, database, keeping
from tests.api.users.mailbox import Mailbox
from tests.api.users.test_auth import ANOTHER_PASSWORD, in_production, mailbox, register, sign_in, token_of, who
from tests.bearer import bearer
from tests.conftest import WAITING, Serve, Served, state_of
from tests.users import ADMIN, PASSWORD, VISITOR, email_of

__all__ = ["admin", "database", "keeping", "mailbox"]  # fixtures

NEW = "moved@zoo.example"
JSON = {"Content-Type": "application/json"}


async def change(client: httpx.AsyncClient, **changes: Any) -> httpx.Response:
    return await client.patch("/users/me", json=changes, headers=VISITOR)


async def delete(client: httpx.AsyncClient, password: Any, who: dict[str, str] = VISITOR) -> httpx.Response:
    return await client.request("DELETE", "/users/me", json={"password": password}, headers=who)


@pytest.fixture
def mailing(serve_here: Serve, mailbox: Mailbox) -> httpx.AsyncClient:
    sender = '"The Zoo, Nürnberg" <zoo@zoo.example>'
    return serve_here(create_app(Settings(smtp_url=mailbox.url, mail_from=sender))).client()


class TestChange:
    @pytest.mark.parametrize("changes", [{"email": NEW}, {"password": ANOTHER_PASSWORD}], ids=["address", "password"])
    async def test_needs_the_current_password(self, anonymous: httpx.AsyncClient, changes: dict[str, str]) -> None:
        missing = await change(anonymous, **changes)
        (told,) = missing.json()["detail"]
        assert (missing.status_code, told["loc"]) == (422, ["body", "current_password"])
        assert told["msg"] == "Your current password is needed"
        for wrong in ("wrong", "", PASSWORD.upper(), "x" * 1000, "\x00"):
            refused = await change(anonymous, **changes, current_password=wrong)
            assert (refused.status_code, refused.json()["detail"]) == (400, "Wrong password")
        assert (await anonymous.get("/users/me", headers=VISITOR)).json()["email"] == email_of("visitor")
        assert (await change(anonymous, **changes, current_password=PASSWORD)).status_code == 200

    async def test_tells_the_address_of_before(self, mailing: httpx.AsyncClient, mailbox: Mailbox) -> None:
        assert (await change(mailing, email="visitor@zoo.example", current_password=PASSWORD)).status_code == 200
        assert (await change(mailing, email=NEW, current_password="wrong")).status_code == 400
        assert (await change(mailing, email=email_of("keeper"), current_password=PASSWORD)).status_code == 400
        await state_of(mailing).background.finish()
        assert mailbox.messages == []  # nothing has changed
        moved = await change(mailing, email=NEW, current_password=PASSWORD)
        assert (moved.json()["email"], moved.json()["is_verified"]) == (NEW, False)
        await state_of(mailing).background.finish()
        await change(mailing, password=ANOTHER_PASSWORD, current_password=PASSWORD)
        await state_of(mailing).background.finish()
        assert [(mail["To"], mail["Subject"]) for mail in mailbox.messages] == [
            (email_of("visitor"), "The address of your account at the zoo"),
            (NEW, "The password of your account at the zoo"),
        ]
        sender = mailbox.messages[0]["From"].addresses[0]
        assert (sender.display_name, sender.addr_spec) == ("The Zoo, Nürnberg", "zoo@zoo.example")
        assert mailbox.messages[0]["Message-ID"].endswith("@zoo.example>")
        told = mailbox.messages[0].get_content()
        assert told.startswith("The address of your account at the zoo was changed.")
        assert "POST /auth/forgot-password" in told
        assert NEW not in told

    async def test_an_admins_change_is_told_too(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox, connection: AsyncConnection
    ) -> None:
        user = await connection.scalar(text("SELECT id FROM users WHERE type = 'visitor'"))
        changes = {"email": NEW, "password": ANOTHER_PASSWORD}
        assert (await mailing.patch(f"/users/{user}", json=changes, headers=ADMIN)).status_code == 200
        await state_of(mailing).background.finish()
        (told,) = mailbox.messages
        assert (told["To"], told["Subject"]) == (
            email_of("visitor"), "The address and the password of your account at the zoo",
        )  # fmt: skip

    async def test_is_limited_as_registering_is(
        self, anonymous: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_ins, "MAX_REGISTRATIONS_FROM_AN_ADDRESS", 1)
        taken = {"email": email_of("keeper"), "current_password": PASSWORD}
        found = [(await change(anonymous, **taken)).status_code for _ in range(2)]
        assert found == [400, 429]
        assert (await register(anonymous)).status_code == 429
        assert (await change(anonymous)).status_code == 200

    async def test_passwords_cannot_be_guessed_there(
        self, anonymous: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_ins, "MAX_FAILURES_ON_AN_ACCOUNT_AT_AN_ADDRESS", 2)
        assert (await change(anonymous, email=NEW, current_password="wrong")).status_code == 400
        assert (await delete(anonymous, "wrong")).status_code == 400
        for refused in (
            await change(anonymous, email=NEW, current_password=PASSWORD),
            await delete(anonymous, PASSWORD),
            await sign_in(anonymous, email_of("visitor")),
        ):
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) > 0

    async def test_a_right_password_does_not_count_as_a_failure(
        self, anonymous: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sign_ins, "MAX_FAILURES_ON_AN_ACCOUNT_AT_AN_ADDRESS", 2)
        for _ in range(3):
            same = await change(anonymous, email=email_of("visitor"), current_password=PASSWORD)
            assert same.status_code == 200


class TestDelete:
    async def test_the_person_goes(self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
        token = await token_of(committing_client, email_of("visitor"))
        user = await admin.fetchval("SELECT id FROM users WHERE type = 'visitor'")
        await admin.execute("INSERT INTO idempotency_keys SELECT id, 'k', '', now() FROM users WHERE id = $1", user)
        for wrong in ("wrong", "", None, 1):
            assert (await delete(committing_client, wrong)).status_code in {400, 422}
        assert (await committing_client.delete("/users/me", headers=VISITOR)).status_code == 422
        gone = await delete(committing_client, PASSWORD)
        assert (gone.status_code, gone.content) == (204, b"")
        for table in ("access_tokens", "known_addresses", "idempotency_keys"):
            assert await admin.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", user) == 0
        assert await admin.fetchval("SELECT count(*) FROM users WHERE id = $1 OR email ~ 'visitor'", user) == 0
        assert await who(committing_client, token) == 401
        assert (await sign_in(committing_client, email_of("visitor"))).status_code == 400
        assert (await register(committing_client, email=email_of("visitor"))).status_code == 201

    async def test_the_last_active_admin_cannot(self, client: httpx.AsyncClient) -> None:
        expired = (await client.get("/users", params={"email": email_of("expired")})).json()[0]
        assert (await client.patch(f"/users/{expired['id']}", json={"type": "keeper"})).status_code == 200
        refused = await delete(client, PASSWORD, ADMIN)
        assert refused.status_code == 409
        assert "last active admin" in refused.json()["detail"]
        assert (await client.get("/users/me")).status_code == 200

    async def test_of_the_last_two_admins_at_once_one_stays(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("UPDATE users SET type = 'visitor' WHERE type = 'admin'")
        await admin.execute("UPDATE users SET type = 'admin' WHERE email ~ '^(keeper|visitor)'")
        async with admin.transaction():
            await admin.execute("SELECT FROM users FOR KEY SHARE")  # until both have come to the same point
            leaving = [
                asyncio.create_task(delete(committing_client, PASSWORD, bearer(name))) for name in ("keeper", "visitor")
            ]
            while await admin.fetchval(WAITING) < 1:
                await asyncio.sleep(0.01)
        answers = await asyncio.gather(*leaving)
        assert sorted(answer.status_code for answer in answers) == [204, 409]
        assert await admin.fetchval("SELECT count(*) FROM users WHERE type = 'admin'") == 1

    async def test_a_precondition_is_respected(self, anonymous: httpx.AsyncClient) -> None:
        tag = (await anonymous.get("/users/me", headers=VISITOR)).headers["ETag"]
        assert (await delete(anonymous, PASSWORD, VISITOR | {"If-Match": '"x"'})).status_code == 412
        assert (await delete(anonymous, PASSWORD, VISITOR | {"If-Match": tag})).status_code == 204


class TestLocalAddresses:
    async def test_are_accepted_in_local_only(self, serve_here: Serve, app: Served) -> None:
        local, production = app.client("admin"), serve_here(create_app(in_production())).client()
        for email in ("x@zoo.local", "x@localhost", "x@test", "X@a.Test", "x@api.localhost"):
            body = {"email": email, "password": PASSWORD}
            assert ((await local.post("/auth/register", json=body)).status_code, email) == (201, email)
            assert ((await sign_in(local, email)).status_code, email) == (200, email)
            refused = await production.post("/auth/register", json=body)
            assert (refused.status_code, email) == (422, email)
            assert refused.json()["detail"][0]["loc"] == ["body", "email"]

    async def test_what_is_no_address_is_none_there_either(self, anonymous: httpx.AsyncClient) -> None:
        for email in (
            "x@local host", "@localhost", "x@.local", "x@@test", "x@testing", "x@nolocal", "a b@test", "x@zoo..local",
        ):  # fmt: skip
            refused = await anonymous.post("/auth/register", json={"email": email, "password": PASSWORD})
            assert (refused.status_code, email) == (422, email)
            assert refused.json()["detail"][0]["loc"] == ["body", "email"]

    async def test_get_mail(self, mailbox: Mailbox) -> None:
        for address in ("x@zoo.local", "x@localhost", "x@bücher.test"):
            await Mail(Settings(smtp_url=mailbox.url)).send(address, "Hello", "Hello")
        assert [mail["To"] for mail in mailbox.messages] == ["x@zoo.local", "x@localhost", "x@xn--bcher-kva.test"]


class TestJson:
    @pytest.mark.parametrize(("path", "status"), [("/auth/jwt/login", 200), ("/auth/cookie/login", 204)])
    async def test_signs_in_as_a_form_does(self, anonymous: httpx.AsyncClient, path: str, status: int) -> None:
        fields = {"username": email_of("visitor"), "password": PASSWORD}
        for body in (fields, fields | {"grant_type": "password", "scope": "", "client_id": None}):
            assert (await anonymous.post(path, json=body)).status_code == status
        assert (await anonymous.post(path, data=fields)).status_code == status
        assert (await anonymous.post(path, json=fields | {"password": "wrong"})).status_code == 400

    async def test_that_does_not_fit_is_422_and_says_where(self, anonymous: httpx.AsyncClient) -> None:
        for body, loc in (
            ("{", ["body", 1]), ("[]", ["body"]), ('"x"', ["body"]), ("null", ["body"]), ("", ["body", 0]),
            ("{}", ["body", "username"]), ('{"username": "a", "password": 1}', ["body", "password"]),
            ('{"username": ["a"], "password": "b"}', ["body", "username"]),
            ('{"username": {"a": 1}, "password": "b"}', ["body", "username"]),
            ('{"username": "a", "username": "b", "password": "c"}', ["body", "username"]),
            ('{"username": "a", "password": null}', ["body", "password"]),
        ):  # fmt: skip
            for path in ("/auth/jwt/login", "/auth/cookie/login"):
                refused = await anonymous.post(path, content=body, headers=JSON)
                assert (refused.status_code, path, body) == (422, path, body)
                assert refused.json()["detail"][0]["loc"] == loc

    async def test_other_types_are_415_and_the_document_has_the_form(self, anonymous: httpx.AsyncClient) -> None:
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/xml", ""):
            refused = await anonymous.post("/auth/jwt/login", content="{}", headers={"Content-Type": kind})
            assert refused.status_code == 415
        document = (await anonymous.get("/openapi.json")).json()
        for path in ("/auth/jwt/login", "/auth/cookie/login"):
            content = document["paths"][path]["post"]["requestBody"]["content"]
            assert content.keys() == {"application/x-www-form-urlencoded"}


async def test_what_a_proxy_says_reaches_the_database_only_if_it_is_an_address(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    served: Served = committing_client._transport.app  # type: ignore[attr-defined]  # noqa: SLF001 - httpx's
    async with served.client(client=("x" * 6_000, 1)) as client:
        assert (await sign_in(client, email_of("visitor"))).status_code == 200
    assert await admin.fetchval("SELECT address FROM known_addresses") == ""
