"""Registering, signing in and out, and the tokens that are mailed."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi_users.jwt import decode_jwt, generate_jwt
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from tenacity import wait_none

from api.crud.accounts import passwords
from api.crud.accounts.access_tokens import hash_token
from api.http.authentication import COOKIE
from api.main import create_app
from api.settings import LOCAL_TOKEN_SECRET, Settings
from api.turns import Turns
from local.postgres import Server
from tests.api.keeping import admin, database, keeping
from tests.api.users.mailbox import Mailbox, serving
from tests.bearer import bearer
from tests.conftest import WAITING, Log, Serve, answering, serve_requests, started, state_of
from tests.users import PASSWORD, email_of

__all__ = ["admin", "database", "keeping"]  # fixtures

ANOTHER_PASSWORD = "a giraffe in the rain"
REAL = {"email": "amara@visitors.example", "password": PASSWORD}


def in_production() -> Settings:
    secret = "a secret that is long enough for production"
    return Settings(
        environment="production", database_password=secret, token_secret=secret, smtp_url="smtp://127.0.0.1:1"
    )


async def register(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/auth/register", json={**REAL, **fields})


async def sign_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/auth/jwt/login", data={"username": email, "password": password})


async def token_of(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> str:
    answer = await sign_in(client, email, password)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


async def who(client: httpx.AsyncClient, token: str) -> int:
    return (await client.get("/users/me", headers=bearer(token))).status_code


@contextmanager
def hashing_held_up() -> Iterator[None]:
    """No password is hashed until the block ends."""
    free = threading.Event()
    passwords._thread.submit(free.wait)  # noqa: SLF001 - what is waited for
    try:
        yield
    finally:
        free.set()


async def until_it_is_hashed(request: asyncio.Task[httpx.Response]) -> None:
    """Wait until `request` waits for a hash."""
    while not passwords._turns._taken:  # noqa: SLF001 - there is no other sign of it
        assert not request.done(), request.result()
        await asyncio.sleep(0)


class TestRegister:
    async def test_creates_a_visitor_and_does_not_show_the_password(self, anonymous: httpx.AsyncClient) -> None:
        answer = await register(anonymous)
        assert answer.status_code == 201
        user = answer.json()
        assert user.keys() == {
            "id", "email", "type", "is_active", "is_superuser", "is_verified", "created_at", "updated_at",
        }  # fmt: skip
        assert (user["email"], user["type"], user["is_active"]) == (REAL["email"], "visitor", True)
        assert (user["is_superuser"], user["is_verified"]) == (False, False)

    async def test_further_rights_in_the_body_have_no_effect(self, anonymous: httpx.AsyncClient) -> None:
        more = {"type": "admin", "is_superuser": True, "is_verified": True, "is_active": False}
        user = (await register(anonymous, **more)).json()
        assert (user["type"], user["is_superuser"], user["is_verified"]) == ("visitor", False, False)
        assert user["is_active"]

    async def test_invalid_fields_are_422_and_named(self, anonymous: httpx.AsyncClient) -> None:
        for field, value in (
            ("email", "x" * 390 + "@zoo.example"),
            ("email", "nobody"),
            ("email", "amara@visitors.example\x00"),
            ("email", "\u212aim@zoo.example"),  # the Kelvin sign, which is a k in lower case
            ("email", "adm\u0131n@zoo.example"),  # a dotless i, which is an I in upper case
            ("email", None),
            ("password", "x" * 11),
            ("password", "x" * 129),
            ("password", "correct horse\x00battery"),
            ("password", " " * 12),
            ("password", "\uff21mara@visitors.example"),  # the same in fullwidth letters
            ("password", "Amara@visitors.EXAMPLE"),
            ("password", 123456789012),
            ("type", "emperor"),
            ("colour", "red"),
        ):
            answer = await register(anonymous, **{field: value})
            assert (answer.status_code, field, value) == (422, field, value)
            assert answer.json()["detail"][0]["loc"] == ["body", field]
            assert answer.json()["detail"][0]["msg"]

    @pytest.mark.parametrize("password", ["x" * 12, "🦒" * 128], ids=["shortest", "longest"])
    async def test_a_password_may_have_any_characters(self, anonymous: httpx.AsyncClient, password: str) -> None:
        assert (await register(anonymous, password=password)).status_code == 201
        assert (await sign_in(anonymous, REAL["email"], password)).status_code == 200

    async def test_an_address_has_one_account_whatever_its_case(self, anonymous: httpx.AsyncClient) -> None:
        assert (await register(anonymous)).status_code == 201
        again = await register(anonymous, email="AMARA@Visitors.example")
        assert (again.status_code, again.json()["detail"]) == (400, "There is an account with this address already")
        assert (await sign_in(anonymous, "aMaRa@visitors.EXAMPLE")).status_code == 200


class TestSignIn:
    async def test_the_token_is_opaque_and_identifies_the_user(self, anonymous: httpx.AsyncClient) -> None:
        answer = await sign_in(anonymous, email_of("visitor"))
        assert answer.json() == {"access_token": answer.json()["access_token"], "token_type": "bearer"}
        assert answer.headers["Cache-Control"] == "no-store"
        assert "." not in answer.json()["access_token"]
        me = await anonymous.get("/users/me", headers=bearer(answer.json()["access_token"]))
        assert me.json()["email"] == email_of("visitor")

    async def test_the_database_has_only_its_hash(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        token = await token_of(committing_client, email_of("visitor"))
        stored = [row["token"] for row in await admin.fetch("SELECT token FROM access_tokens")]
        assert hash_token(token) in stored
        assert token not in stored

    async def test_every_failure_gets_the_same_answer(self, anonymous: httpx.AsyncClient) -> None:
        for wrong, email, password in (
            ("password", email_of("visitor"), "wrong"),
            ("account", email_of("nobody"), PASSWORD),
            ("inactive account", email_of("inactive"), PASSWORD),
            ("long password", email_of("visitor"), "x" * 7_000),
            ("NUL in the password", email_of("visitor"), PASSWORD + "\x00"),
            ("NUL in the address", "a\x00b@zoo.example", PASSWORD),
            ("long address", "x" * 7_000, PASSWORD),
            ("odd bytes", "\udc80".encode(errors="surrogateescape").decode("latin-1"), PASSWORD),
        ):
            answer = await sign_in(anonymous, email, password)
            assert (answer.status_code, wrong) == (400, wrong)
            assert answer.json() == {"detail": "Wrong email or password"}

    @pytest.mark.parametrize("path", ["/auth/jwt/login", "/auth/cookie/login", "/auth/register"])
    async def test_a_multipart_body_is_415_and_not_even_parsed(self, anonymous: httpx.AsyncClient, path: str) -> None:
        """Its parts would be decoded with the codec that the client names, and this codec takes minutes."""
        body = b'--B\r\nContent-Disposition: form-data; name="username"\r\n\r\na-' + b"b" * 7_000 + b"\r\n--B--\r\n"
        headers = {"Content-Type": "Multipart/form-data; boundary=B; charset=punycode"}
        assert (await anonymous.post(path, content=body, headers=headers)).status_code == 415

    async def test_the_same_characters_from_another_keyboard_are_the_same_password(
        self, anonymous: httpx.AsyncClient
    ) -> None:
        assert (await register(anonymous, password="Jalape\u00f1o, ma\u00f1ana")).status_code == 201
        assert (await sign_in(anonymous, REAL["email"], "Jalapen\u0303o, man\u0303ana")).status_code == 200

    async def test_other_requests_are_served_meanwhile_even_from_a_pool_of_one(
        self, server: Server, database: str
    ) -> None:
        settings = Settings(database_url=server.url("zoo_api", database), database_pool_size=1)
        async with answering(create_app(settings)) as client:
            with hashing_held_up():
                signing_in = asyncio.create_task(sign_in(client, email_of("visitor")))
                await until_it_is_hashed(signing_in)
                assert (await client.get("/animals")).status_code == 200
            assert (await signing_in).status_code == 200


class TestToken:
    async def test_an_invalid_one_is_401(self, anonymous: httpx.AsyncClient) -> None:
        for token in ("", "x", "visitor x", "x" * 10_000, "ÿ", "expired", "inactive"):
            answer = await anonymous.get("/users/me", headers=[(b"Authorization", f"Bearer {token}".encode("latin-1"))])
            assert (answer.status_code, token) == (401, token)

    async def test_two_requests_that_revoke_it_at_the_same_moment_both_succeed(
        self, committing_client: httpx.AsyncClient
    ) -> None:
        for _ in range(2):
            token = await token_of(committing_client, email_of("visitor"))
            ends = (committing_client.post("/auth/jwt/logout", headers=bearer(token)) for _ in range(2))
            assert {answer.status_code for answer in await asyncio.gather(*ends)} <= {204, 401}
            assert await who(committing_client, token) == 401

    async def test_is_revoked_by_signing_out_and_others_are_not(self, anonymous: httpx.AsyncClient) -> None:
        first, second = [await token_of(anonymous, email_of("visitor")) for _ in range(2)]
        assert (await anonymous.post("/auth/jwt/logout", headers=bearer(first))).status_code == 204
        assert [await who(anonymous, token) for token in (first, second)] == [401, 200]
        assert (await anonymous.post("/auth/jwt/logout", headers=bearer(first))).status_code == 401

    async def test_expires(self, server: Server, database: str, admin: asyncpg.Connection) -> None:
        settings = Settings(database_url=server.url("zoo_api", database), access_token_seconds=60)
        async with answering(create_app(settings)) as client:
            token = await token_of(client, email_of("visitor"))
            age = "UPDATE access_tokens SET created_at = statement_timestamp() - $1::interval WHERE token = $2"
            await admin.execute(age, timedelta(seconds=50), hash_token(token))
            assert await who(client, token) == 200
            await admin.execute(age, timedelta(seconds=61), hash_token(token))
            assert await who(client, token) == 401

    async def test_a_new_password_revokes_every_token(self, anonymous: httpx.AsyncClient) -> None:
        tokens = [await token_of(anonymous, email_of("visitor")) for _ in range(2)]
        changes = {"password": ANOTHER_PASSWORD, "current_password": PASSWORD}
        changed = await anonymous.patch("/users/me", json=changes, headers=bearer(tokens[0]))
        assert changed.status_code == 200
        assert [await who(anonymous, token) for token in tokens] == [401, 401]
        assert (await sign_in(anonymous, email_of("visitor"))).status_code == 400
        assert (await sign_in(anonymous, email_of("visitor"), ANOTHER_PASSWORD)).status_code == 200

    async def test_a_deactivation_revokes_every_token_permanently(
        self, client: httpx.AsyncClient, anonymous: httpx.AsyncClient
    ) -> None:
        token = await token_of(anonymous, email_of("visitor"))
        user = (await client.get("/users", params={"email": email_of("visitor")})).json()[0]
        for is_active in (False, True):
            assert (await client.patch(f"/users/{user['id']}", json={"is_active": is_active})).status_code == 200
            assert await who(anonymous, token) == 401


class TestCookie:
    @pytest.fixture
    async def page(self, anonymous: httpx.AsyncClient) -> httpx.AsyncClient:
        """A page of this site in a browser, in which the keeper is signed in."""
        form = {"username": email_of("keeper"), "password": PASSWORD}
        assert (await anonymous.post("/auth/cookie/login", data=form)).status_code == 204
        anonymous.headers["Origin"] = "http://zoo.test"
        return anonymous

    async def test_only_this_sites_pages_send_it_and_no_script_reads_it(self, anonymous: httpx.AsyncClient) -> None:
        form = {"username": email_of("keeper"), "password": PASSWORD}
        answer = await anonymous.post("/auth/cookie/login", data=form)
        name, *attributes = answer.headers["Set-Cookie"].split("; ")
        assert name.startswith(f"{COOKIE}=")
        assert sorted(attributes) == ["HttpOnly", "Max-Age=86400", "Path=/", "SameSite=strict"]

    @pytest.fixture
    def production(self, serve_here: Serve) -> httpx.AsyncClient:
        """A client of the api in production, in which nobody is signed in."""
        client = serve_here(create_app(in_production())).client()
        client.base_url = httpx.URL("https://zoo.test")
        return client

    async def test_outside_local_it_is_for_this_host_only_and_over_tls_only(
        self, production: httpx.AsyncClient
    ) -> None:
        form = {"username": email_of("keeper"), "password": PASSWORD}
        prefix = {"X-Forwarded-Prefix": "/zoo"}  # for this path, browsers would reject a cookie of that name
        answer = await production.post("/auth/cookie/login", data=form, headers=prefix)
        name, *attributes = answer.headers["Set-Cookie"].split("; ")
        assert name.startswith("__Host-zoo-auth=")
        assert sorted(attributes) == ["HttpOnly", "Max-Age=86400", "Path=/", "SameSite=strict", "Secure"]
        assert (await production.get("/users/me")).json()["email"] == email_of("keeper")
        gone = await production.post("/auth/cookie/logout", headers=prefix)
        assert gone.headers["Set-Cookie"] == '__Host-zoo-auth=""; HttpOnly; Max-Age=0; Path=/; SameSite=strict; Secure'
        for origin, status in (("https://zoo.test", 204), ("http://zoo.test", 403)):
            answer = await production.post("/auth/cookie/login", data=form, headers={"Origin": origin})
            assert answer.status_code == status

    async def test_outside_local_a_cookie_that_another_host_could_have_set_is_ignored(
        self, production: httpx.AsyncClient
    ) -> None:
        assert (await production.get("/users/me", headers={"Cookie": "__Host-zoo-auth=keeper"})).status_code == 200
        assert (await production.get("/users/me", headers={"Cookie": "zoo-auth=keeper"})).status_code == 401

    async def test_the_document_names_it(self, production: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
        for client, name in ((production, "__Host-zoo-auth"), (anonymous, "zoo-auth")):
            document = (await client.get("/openapi.json")).json()
            schemes = document["components"]["securitySchemes"]
            assert schemes["CookieScheme"]["name"] == name
            assert list(schemes)[-1] == "OAuth2PasswordBearer"  # at which Swagger UI's dialog opens

    async def test_signs_in(self, page: httpx.AsyncClient) -> None:
        assert (await page.get("/users/me")).json()["email"] == email_of("keeper")
        assert (await page.post("/animals", json={"name": "Amara"})).status_code == 201

    async def test_does_not_let_a_page_of_another_site_change_anything(self, page: httpx.AsyncClient) -> None:
        form = {"username": email_of("admin"), "password": PASSWORD}
        for origin in (
            "http://evil.example", "http://sub.zoo.test", "http://zoo.test:81", "null", "", "http://[", "zoo.test",
        ):  # fmt: skip
            headers = {"Origin": origin}
            refused = await page.post("/animals", json={"name": "Amara"}, headers=headers)
            assert (refused.status_code, origin) == (403, origin)
            assert "another site" in refused.json()["detail"]
            logout = await page.post("/auth/cookie/logout", headers=headers)
            login = await page.post("/auth/cookie/login", data=form, headers=headers)
            assert (logout.status_code, login.status_code, origin) == (403, 403, origin)
            # A browser does not show it to such a page.
            assert ((await page.get("/users/me", headers=headers)).status_code, origin) == (200, origin)

    @pytest.mark.parametrize(
        ("status", "pairs"),
        [
            (
                201,
                [
                    ("http://zoo.test", "ZOO.test"),
                    ("http://ZOO.test", "zoo.test"),
                    ("http://zoo.test", "zoo.test:80"),
                    ("http://zoo.test:80", "zoo.test"),
                    ("https://zoo.test", "zoo.test:443"),
                    ("http://zoo.test:8000", "zoo.test:8000"),
                    ("http://[::1]:8000", "[::1]:8000"),
                ],
            ),
            (
                403,
                [
                    ("http://zoo.test", "zoo.test:443"),
                    ("https://zoo.test", "zoo.test:80"),
                    ("http://zoo.test:8000", "zoo.test"),
                    ("http://zoo.test@evil.example", "zoo.test"),
                    ("http://evil.example@zoo.test", "zoo.test"),
                    ("ftp://zoo.test", "zoo.test"),
                    ("http://zoo.test:99999999", "zoo.test"),
                    ("http://zoo.test", ""),
                ],
            ),
        ],
        ids=["same", "other"],
    )
    async def test_hosts_are_compared_with_their_ports_regardless_of_case_and_default_port(
        self, page: httpx.AsyncClient, status: int, pairs: list[tuple[str, str]]
    ) -> None:
        for origin, host in pairs:
            answer = await page.post("/animals", json={"name": "Amara"}, headers={"Origin": origin, "Host": host})
            assert (answer.status_code, origin, host) == (status, origin, host)

    async def test_sec_fetch_site_takes_precedence_over_the_origin(self, page: httpx.AsyncClient) -> None:
        del page.headers["Origin"]
        for site, origin, status in (
            ("same-origin", "http://zoo.test", 201),
            ("same-origin", None, 201),
            ("same-origin", "http://behind-a-proxy-that-changes-the-host.example", 201),
            ("none", None, 201),
            ("same-site", "http://zoo.test", 403),
            ("same-site", "http://sub.zoo.test", 403),
            ("cross-site", "http://evil.example", 403),
            ("cross-site", None, 403),
            ("cross-site", "null", 403),
            ("anything", "http://zoo.test", 403),
        ):
            headers = {"Sec-Fetch-Site": site} | ({"Origin": origin} if origin else {})
            answer = await page.post("/animals", json={"name": "Amara"}, headers=headers)
            assert (answer.status_code, site, origin) == (status, site, origin)
            assert (await page.get("/users/me", headers=headers)).status_code == 200
            assert (await page.head("/users/me", headers=headers)).status_code == 200

    async def test_a_client_that_is_not_a_browser_needs_no_origin(self, page: httpx.AsyncClient) -> None:
        del page.headers["Origin"]
        assert (await page.post("/animals", json={"name": "Amara"})).status_code == 201

    async def test_a_bearer_token_takes_precedence_over_it(self, page: httpx.AsyncClient) -> None:
        headers = {"Origin": "http://evil.example", **bearer("visitor")}
        assert (await page.get("/users/me", headers=headers)).json()["email"] == email_of("visitor")
        assert (await page.post("/animals", json={"name": "Amara"}, headers=headers)).status_code == 403
        assert (await page.get("/users/me", headers=bearer("none"))).status_code == 401

    async def test_signing_out_removes_it_and_revokes_its_token(self, page: httpx.AsyncClient) -> None:
        token = page.cookies[COOKIE]
        answer = await page.post("/auth/cookie/logout")
        assert answer.status_code == 204
        assert 'zoo-auth=""; HttpOnly; Max-Age=0' in answer.headers["Set-Cookie"]
        assert COOKIE not in page.cookies
        assert await who(page, token) == 401


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with serving() as mailbox:
        yield mailbox


class TestMail:
    @pytest.fixture
    def mailing(self, serve_here: Serve, mailbox: Mailbox) -> httpx.AsyncClient:
        return serve_here(create_app(Settings(smtp_url=mailbox.url, mail_from="zoo@zoo.example"))).client()

    @pytest.fixture
    async def committing(self, server: Server, database: str, mailbox: Mailbox) -> AsyncIterator[httpx.AsyncClient]:
        """Its requests really commit."""
        settings = Settings(database_url=server.url("zoo_api", database), smtp_url=mailbox.url)
        async with serve_requests(create_app(settings)) as app, app.client() as client:
            yield client

    async def ask(self, client: httpx.AsyncClient, path: str, email: str) -> None:
        answer = await client.post(path, json={"email": email})
        assert (answer.status_code, answer.json()) == (202, None)
        await state_of(client).background.finish()

    async def reset(self, client: httpx.AsyncClient, token: str, password: str = ANOTHER_PASSWORD) -> httpx.Response:
        return await client.post("/auth/reset-password", json={"token": token, "password": password})

    async def test_a_password_is_reset_once(self, mailing: httpx.AsyncClient, mailbox: Mailbox) -> None:
        signed_in_before = await token_of(mailing, email_of("visitor"))
        await self.ask(mailing, "/auth/forgot-password", email_of("visitor").upper())
        (message,) = mailbox.messages
        assert (message["To"], message["From"]) == (email_of("visitor"), "zoo@zoo.example")
        assert (await self.reset(mailing, mailbox.token())).status_code == 200
        assert await who(mailing, signed_in_before) == 401
        assert (await sign_in(mailing, email_of("visitor"))).status_code == 400
        assert (await sign_in(mailing, email_of("visitor"), ANOTHER_PASSWORD)).status_code == 200
        again = await self.reset(mailing, mailbox.token(), PASSWORD)
        assert again.status_code == 400
        assert "request another" in again.json()["detail"]

    async def test_that_there_is_no_such_account_is_no_error(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox, log: Callable[[], list[Log]]
    ) -> None:
        for path in ("/auth/forgot-password", "/auth/request-verify-token"):
            for name in ("nobody", "inactive"):
                await self.ask(mailing, path, email_of(name))
        assert mailbox.messages == []
        assert {line["level"] for line in log()} == {"info"}

    async def test_a_token_that_is_none_costs_no_hash(
        self, anonymous: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(passwords, "_hasher", None)
        assert (await self.reset(anonymous, "x")).status_code == 400

    async def test_of_many_resets_at_the_same_moment_one_succeeds(
        self, committing: httpx.AsyncClient, mailbox: Mailbox, admin: asyncpg.Connection
    ) -> None:
        await self.ask(committing, "/auth/forgot-password", email_of("visitor"))
        async with admin.transaction():  # until all of them have come to the same point
            await admin.execute("SELECT FROM users FOR UPDATE")
            resets = [asyncio.create_task(self.reset(committing, mailbox.token())) for _ in range(4)]
            while await admin.fetchval(WAITING) < 4:
                await asyncio.sleep(0.01)
        answers = await asyncio.gather(*resets)
        assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]

    async def test_where_too_many_reset_one_password_another_is_reset(
        self, committing: httpx.AsyncClient, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tokens = []
        for name in ("keeper", "admin"):
            await self.ask(committing, "/auth/forgot-password", email_of(name))
            tokens.append(mailbox.token())
        monkeypatch.setattr(passwords, "_turns", Turns(1, 2))
        with hashing_held_up():
            crowd = [asyncio.create_task(self.reset(committing, tokens[0])) for _ in range(3)]
            while passwords._turns.waiting < 2:  # noqa: SLF001 - there is no other sign of it
                await asyncio.sleep(0)
            another = asyncio.create_task(self.reset(committing, tokens[1]))
            await asyncio.wait([*crowd, another], return_when=asyncio.FIRST_COMPLETED)
        assert (await another).status_code == 200
        assert sorted(answer.status_code for answer in await asyncio.gather(*crowd)) == [200, 400, 503]

    async def test_a_reset_token_is_for_an_active_user_and_the_address_it_was_sent_to(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox, connection: AsyncConnection
    ) -> None:
        await self.ask(mailing, "/auth/forgot-password", email_of("visitor"))
        for change in ("email = 'moved@zoo.example'", "email = 'visitor@zoo.example', is_active = false"):
            await connection.execute(text(f"UPDATE users SET {change} WHERE type = 'visitor'"))
            assert (await self.reset(mailing, mailbox.token())).status_code == 400
        await connection.execute(text("UPDATE users SET is_active = true WHERE type = 'visitor'"))
        assert (await self.reset(mailing, mailbox.token())).status_code == 200

    async def test_the_tokens_of_a_user_who_is_deleted_are_of_no_use(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox, connection: AsyncConnection
    ) -> None:
        await self.ask(mailing, "/auth/forgot-password", email_of("visitor"))
        to_reset = mailbox.token()
        await self.ask(mailing, "/auth/request-verify-token", email_of("visitor"))
        await connection.execute(text("DELETE FROM users WHERE type = 'visitor'"))
        assert (await self.reset(mailing, to_reset)).status_code == 400
        assert (await mailing.post("/auth/verify", json={"token": mailbox.token()})).status_code == 400

    async def test_only_an_active_user_verifies_an_address(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox, connection: AsyncConnection
    ) -> None:
        await self.ask(mailing, "/auth/request-verify-token", email_of("visitor"))
        for is_active, status in ((False, 400), (True, 200)):
            await connection.execute(text(f"UPDATE users SET is_active = {is_active} WHERE type = 'visitor'"))
            verified = await mailing.post("/auth/verify", json={"token": mailbox.token()})
            assert verified.status_code == status

    @pytest.mark.parametrize(("path", "audience"), [("forgot-password", "reset"), ("request-verify-token", "verify")])
    async def test_a_token_is_good_for_an_hour(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox, path: str, audience: str
    ) -> None:
        await self.ask(mailing, f"/auth/{path}", email_of("visitor"))
        claims = decode_jwt(mailbox.token(), LOCAL_TOKEN_SECRET, [f"fastapi-users:{audience}"])
        assert 3_500 < claims["exp"] - time.time() <= 3_600
        assert "good for 60 minutes, once" in mailbox.messages[0].get_content()

    async def test_an_address_is_not_verified_by_the_token_of_the_previous_one(
        self, committing: httpx.AsyncClient, mailbox: Mailbox, admin: asyncpg.Connection
    ) -> None:
        """Not even if both happen at the same moment."""
        await self.ask(committing, "/auth/request-verify-token", email_of("visitor"))
        async with admin.transaction():
            await admin.execute("SELECT FROM users FOR UPDATE")
            changes = {"email": "ceo@bank.example", "current_password": PASSWORD}
            moving = asyncio.create_task(committing.patch("/users/me", json=changes, headers=bearer("visitor")))
            while await admin.fetchval(WAITING) < 1:
                await asyncio.sleep(0.01)
            verifying = asyncio.create_task(committing.post("/auth/verify", json={"token": mailbox.token()}))
            while await admin.fetchval(WAITING) < 2:
                await asyncio.sleep(0.01)
        assert (await moving).status_code == 200
        assert (await verifying).status_code == 400
        assert not await admin.fetchval("SELECT is_verified FROM users WHERE email = 'ceo@bank.example'")

    async def test_a_token_that_is_too_long_is_422(self, anonymous: httpx.AsyncClient) -> None:
        for path, field in (("/auth/reset-password", {"password": PASSWORD}), ("/auth/verify", {})):
            for length, status in ((2_000, 400), (2_001, 422)):
                answer = await anonymous.post(path, json={"token": "x" * length, **field})
                assert answer.status_code == status

    async def test_a_verify_token_with_an_odd_claim_is_400(self, anonymous: httpx.AsyncClient) -> None:
        emails: tuple[object, ...] = (1, None, [], {})
        for email in emails:
            claims = {"sub": str(uuid4()), "email": email, "aud": "fastapi-users:verify"}
            token = generate_jwt(claims, LOCAL_TOKEN_SECRET)
            verified = await anonymous.post("/auth/verify", json={"token": token})
            assert (verified.status_code, email) == (400, email)

    async def test_mail_to_a_domain_that_is_not_ascii_has_it_in_ascii(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox
    ) -> None:
        await register(mailing, email="amara@bücher.example")
        await self.ask(mailing, "/auth/request-verify-token", "amara@bücher.example")
        assert mailbox.messages[0]["To"] == "amara@xn--bcher-kva.example"

    async def test_mail_that_is_being_sent_when_the_app_stops_still_arrives(
        self, server: Server, database: str, mailbox: Mailbox
    ) -> None:
        async with started(
            create_app(Settings(database_url=server.url("zoo_api", database), smtp_url=mailbox.url))
        ) as c:
            await c.post("/auth/forgot-password", json={"email": email_of("visitor")})
        assert len(mailbox.messages) == 1

    async def test_an_invalid_reset_token_is_400(self, mailing: httpx.AsyncClient, mailbox: Mailbox) -> None:
        await self.ask(mailing, "/auth/forgot-password", email_of("visitor"))
        claims = decode_jwt(mailbox.token(), LOCAL_TOKEN_SECRET, ["fastapi-users:reset"])
        for wrong in (
            {"exp": 1}, {"aud": "fastapi-users:verify"}, {"sub": "x"}, {"password_fgpt": 1}, {"password_fgpt": "é"},
        ):  # fmt: skip
            refused = await self.reset(mailing, generate_jwt(claims | wrong, LOCAL_TOKEN_SECRET))
            assert (refused.status_code, wrong) == (400, wrong)
        assert (await self.reset(mailing, generate_jwt(claims, "x" * 32))).status_code == 400
        assert (await self.reset(mailing, generate_jwt(claims, LOCAL_TOKEN_SECRET))).status_code == 200

    async def test_an_invalid_new_password_is_422_and_the_token_stays_valid(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox
    ) -> None:
        await self.ask(mailing, "/auth/forgot-password", email_of("visitor"))
        for password in ("short", email_of("visitor")):
            refused = await self.reset(mailing, mailbox.token(), password)
            assert refused.status_code == 422
            assert refused.json()["detail"][0]["loc"] == ["body", "password"]
        assert (await self.reset(mailing, mailbox.token())).status_code == 200

    async def test_an_address_is_verified_and_a_new_one_is_not(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox
    ) -> None:
        await self.ask(mailing, "/auth/request-verify-token", email_of("visitor"))
        assert mailbox.messages[0]["Subject"] == "Your address at the zoo"
        verified = await mailing.post("/auth/verify", json={"token": mailbox.token()})
        assert verified.json()["is_verified"] is True
        again = await mailing.post("/auth/verify", json={"token": mailbox.token()})
        assert (again.status_code, again.json()["detail"]) == (400, "The address is verified already")
        await self.ask(mailing, "/auth/request-verify-token", email_of("visitor"))
        assert len(mailbox.messages) == 1
        changes = {"email": "another@zoo.example", "current_password": PASSWORD}
        moved = await mailing.patch("/users/me", json=changes, headers=bearer("visitor"))
        assert (moved.json()["email"], moved.json()["is_verified"]) == ("another@zoo.example", False)
        late = await mailing.post("/auth/verify", json={"token": mailbox.token()})
        assert late.status_code == 400  # it was for the previous address

    async def test_a_mail_server_that_is_down_for_a_moment_is_tried_again(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("api.external_services.mail.Mail._deliver.retry.wait", wait_none())
        mailbox.answers.append("421 Shutting down")
        await self.ask(mailing, "/auth/forgot-password", email_of("visitor"))
        assert len(mailbox.messages) == 1

    async def test_a_refusal_by_the_mail_server_is_logged_without_token_and_address(
        self, mailing: httpx.AsyncClient, mailbox: Mailbox, log: Callable[[], list[Log]]
    ) -> None:
        mailbox.answers.append("554 No")
        await self.ask(mailing, "/auth/forgot-password", email_of("visitor"))
        (line,) = (line for line in log() if line["level"] == "error")
        assert line.items() >= {
            ("event", "mail not sent"), ("subject", "A new password for the zoo"), ("reason", "SMTPDataError")
        }  # fmt: skip
        assert email_of("visitor") not in str(log())

    async def test_a_password_for_the_mail_server_is_never_sent_unencrypted(
        self, server: Server, database: str, mailbox: Mailbox, log: Callable[[], list[Log]]
    ) -> None:
        url = mailbox.url.replace("smtp://", "smtp://zoo@")
        settings = Settings(database_url=server.url("zoo_api", database), smtp_url=url, smtp_password="secret")
        async with answering(create_app(settings)) as client:
            await self.ask(client, "/auth/forgot-password", email_of("visitor"))
        assert mailbox.messages == []
        assert "mail not sent" in {line["event"] for line in log()}

    async def test_without_a_mail_server_mail_is_in_the_log(
        self, committing_client: httpx.AsyncClient, log: Callable[[], list[Log]]
    ) -> None:
        answer = await committing_client.post("/auth/forgot-password", json={"email": email_of("visitor")})
        assert answer.status_code == 202
        while not (mails := [line for line in log() if "text" in line]):
            await asyncio.sleep(0.01)
        assert mails[0]["to"] == email_of("visitor")
        assert "eyJ" in mails[0]["text"]
        assert mails[0]["request_id"] == answer.headers["X-Request-ID"]  # although the mail was sent after the answer
