"""What requests lock of users, and of what is counted for them, and in which order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import asyncpg
import httpx
import pytest

from api.crud import throttles
from api.main import create_app
from local.postgres import Server
from tests.api.holding import committing_client, database, free, holding, patient, until_it_waits
from tests.api.users.test_auth import ANOTHER_PASSWORD, register, sign_in
from tests.bearer import bearer
from tests.conftest import started, superuser
from tests.users import KEEPER, PASSWORD, VISITOR, email_of

__all__ = ["committing_client", "database"]  # fixtures


@pytest.fixture
async def another(server: Server, database: str) -> AsyncIterator[asyncpg.Connection]:
    """A second connection of a superuser."""
    connection = await superuser(server, database)
    yield connection
    await connection.close()


def held(admin: asyncpg.Connection, who: str) -> AbstractAsyncContextManager[None]:
    """A user who is locked as by the request before, and as a reference to the user does not need it."""
    return holding(admin, "SELECT FROM users WHERE email = $1 FOR NO KEY UPDATE", email_of(who))


class TestCounting:
    """Of requests that each would fit, all are counted: they take turns, by the lock on their user."""

    async def test_a_users_requests_are_counted_one_after_the_other(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        headers = KEEPER | {"Idempotency-Key": "turns"}
        async with held(admin, "keeper"):
            asked = asyncio.create_task(committing_client.post("/animals", json={"name": "A"}, headers=headers))
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 201


class TestKeys:
    @pytest.mark.parametrize(("ends", "status"), [("COMMIT", 409), ("ROLLBACK", 201)])
    async def test_while_another_claims_a_key_the_same_request_waits(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, ends: str, status: int
    ) -> None:
        key = {**KEEPER, "Idempotency-Key": ends}
        await admin.execute("BEGIN")
        await admin.execute(
            "INSERT INTO idempotency_keys (user_id, key, request_hash, claimed_until)"
            " SELECT id, $1, encode(sha256($2), 'hex'), now() + interval '60 s' FROM users WHERE email = $3",
            ends,
            b'POST /animals\n{"name":"A","description":null,"species":null,"exhibit_id":null}',
            email_of("keeper"),
        )
        asked = asyncio.create_task(committing_client.post("/animals", json={"name": "A"}, headers=key))
        await until_it_waits(admin, asked)
        await admin.execute(ends)
        assert (await asked).status_code == status


class TestAdmins:
    @pytest.mark.parametrize("changes", [{"type": "keeper"}, {"is_active": False}, None])
    async def test_while_one_leaves_the_other_stays(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, changes: dict[str, Any] | None
    ) -> None:
        me = f"/users/{(await committing_client.get('/users/me')).json()['id']}"
        become = "UPDATE users SET type = $1 WHERE email = $2"
        async with holding(admin, become, "keeper", email_of("expired")):
            asked = asyncio.create_task(
                committing_client.delete(me) if changes is None else committing_client.patch(me, json=changes)
            )
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 409
        await admin.execute(become, "admin", email_of("expired"))
        assert (await committing_client.get(me)).json()["type"] == "admin"

    async def test_they_are_locked_in_one_order_so_that_no_two_wait_for_each_other(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, another: asyncpg.Connection
    ) -> None:
        first = "00000000-0000-7000-8000-000000000001"  # and the last in the table
        others = {row["id"] for row in await admin.fetch("SELECT id FROM users WHERE type = 'admin' AND is_active")}
        await admin.execute(
            "INSERT INTO users (id, email, hashed_password, type) VALUES ($1, 'first@zoo.example', '', 'admin')", first
        )
        me = f"/users/{(await committing_client.get('/users/me')).json()['id']}"
        async with holding(admin, "SELECT FROM users WHERE id = $1 FOR UPDATE", first):
            asked = asyncio.create_task(committing_client.patch(me, json={"type": "keeper"}))
            await until_it_waits(admin, asked)
            assert others <= await free(another, "users", "id")
        assert (await asked).status_code == 200
        await admin.execute("UPDATE users SET type = 'admin' WHERE email = $1", email_of("admin"))
        await admin.execute("DELETE FROM users WHERE id = $1", first)

    async def test_while_they_are_locked_others_may_refer_to_them(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, another: asyncpg.Connection
    ) -> None:
        last = "ffffffff-ffff-7fff-bfff-ffffffffffff"
        await admin.execute(
            "INSERT INTO users (id, email, hashed_password, type) VALUES ($1, 'last@zoo.example', '', 'admin')", last
        )
        me = f"/users/{(await committing_client.get('/users/me')).json()['id']}"
        async with holding(admin, "SELECT FROM users WHERE id = $1 FOR UPDATE", last):
            asked = asyncio.create_task(committing_client.patch(me, json={"type": "keeper"}))
            await until_it_waits(admin, asked)
            await another.execute("SELECT FROM users WHERE id <> $1 FOR KEY SHARE NOWAIT", last)
        assert (await asked).status_code == 200
        await admin.execute("UPDATE users SET type = 'admin' WHERE email = $1", email_of("admin"))
        await admin.execute("DELETE FROM users WHERE id = $1", last)


class TestUsers:
    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    async def test_a_precondition_is_about_the_newest_state(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, method: str
    ) -> None:
        email = f"{method}@zoo.example"
        path = f"/users/{(await register(committing_client, email=email)).json()['id']}"
        seen = {"If-Match": (await committing_client.get(path)).headers["ETag"]}
        async with holding(admin, "UPDATE users SET is_verified = true WHERE email = $1", email):
            body = {"type": "keeper"} if method == "PATCH" else None
            asked = asyncio.create_task(committing_client.request(method, path, json=body, headers=seen))
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 412
        assert (await committing_client.get(path)).json()["type"] == "visitor"

    @pytest.mark.parametrize("how", ["registering", "moving"])
    async def test_of_two_who_take_an_address_one_gets_it(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, how: str
    ) -> None:
        taken = f"Taken-{how}@zoo.example"
        async with holding(
            admin, "INSERT INTO users (id, email, hashed_password) VALUES (gen_random_uuid(), $1, '')", taken
        ):
            body = {"email": taken.lower(), "current_password": PASSWORD}
            asked = asyncio.create_task(
                register(committing_client, email=taken.lower())
                if how == "registering"
                else committing_client.patch("/users/me", json=body, headers=VISITOR)
            )
            await until_it_waits(admin, asked)
        refused = await asked
        assert (refused.status_code, refused.json()["detail"]) == (400, "There is an account with this address already")

    async def test_while_one_is_changed_others_may_refer_to_the_user(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, another: asyncpg.Connection
    ) -> None:
        email = "taken-meanwhile@zoo.example"
        taken = "INSERT INTO users (id, email, hashed_password) VALUES (gen_random_uuid(), $1, '')"
        async with holding(admin, taken, email):
            body = {"email": email, "current_password": PASSWORD}
            asked = asyncio.create_task(committing_client.patch("/users/me", json=body, headers=VISITOR))
            await until_it_waits(admin, asked)
            await another.execute("SELECT FROM users WHERE email = $1 FOR KEY SHARE NOWAIT", email_of("visitor"))
        assert (await asked).status_code == 400

    async def test_a_token_that_is_made_while_the_password_changes_is_revoked(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        made = (await register(committing_client, email="changing@zoo.example")).json()
        async with holding(admin, "SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", made["id"]):  # as a sign-in
            await admin.execute("INSERT INTO access_tokens (token, user_id) VALUES ('new', $1)", made["id"])
            asked = asyncio.create_task(
                committing_client.patch(f"/users/{made['id']}", json={"password": ANOTHER_PASSWORD})
            )
            await until_it_waits(admin, asked)
        assert (await asked).status_code == 200
        assert await admin.fetchval("SELECT count(*) FROM access_tokens WHERE user_id = $1", made["id"]) == 0

    @pytest.mark.parametrize(
        ("method", "body"),
        [("DELETE", {"password": PASSWORD}), ("PATCH", {"email": "moved@zoo.example", "current_password": PASSWORD})],
        ids=["leaving", "moving"],
    )
    async def test_who_is_signed_out_meanwhile_changes_nothing(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, method: str, body: dict[str, str]
    ) -> None:
        """Whoever sets a new password first keeps the account."""
        made = (await register(committing_client, email=f"{method}-me@zoo.example")).json()
        token = (await sign_in(committing_client, made["email"])).json()["access_token"]
        async with holding(admin, "SELECT FROM users WHERE id = $1 FOR UPDATE", made["id"]):
            request = committing_client.request(method, "/users/me", json=body, headers=bearer(token))
            asked = asyncio.create_task(request)
            await until_it_waits(admin, asked)
            await admin.execute("DELETE FROM access_tokens WHERE user_id = $1", made["id"])
        assert (await asked).status_code == 401
        assert (await committing_client.get(f"/users/{made['id']}")).json()["email"] == made["email"]


class TestAttempts:
    """Attempts lock their counts in one order, so that no two wait for each other."""

    @staticmethod
    def keys_of(email: str) -> list[str]:
        """The counts of an attempt from the tests' address, in the order in which the code names them."""
        here = "127.0.0.1"
        names = ("account-at-address", email, here), ("account", email), ("address", here)
        return [throttles.key(*name) for name in names]

    @pytest.fixture
    async def email(self, admin: asyncpg.Connection, database: str) -> AsyncIterator[str]:
        """The keeper's: one whose counts are in the opposite order of the one in which the code names them.

        Nor does an index sort them: rows are found in the order of the table.
        """
        emails = (f"{number}@zoo.example" for number in range(1_000))
        email = next(one for one in emails if (keys := self.keys_of(one)) == sorted(keys, reverse=True))
        moves = "UPDATE users SET email = $1 WHERE email = $2"
        await admin.execute(moves, email, email_of("keeper"))
        for how in ("indexscan", "bitmapscan"):
            await admin.execute(f"ALTER ROLE zoo_api IN DATABASE {database} SET enable_{how} = off")
        yield email
        await admin.execute(moves, email_of("keeper"), email)
        await admin.execute(f"ALTER ROLE zoo_api IN DATABASE {database} RESET ALL")

    @pytest.fixture
    async def client(self, email: str, server: Server, database: str) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG002
        """A client of an api whose sessions begin after that."""
        async with started(create_app(patient(server, database))) as client:
            yield client

    async def test_when_they_are_counted_and_when_they_succeed(
        self, email: str, client: httpx.AsyncClient, admin: asyncpg.Connection, another: asyncpg.Connection
    ) -> None:
        first, rest = self.keys_of(email)[-1], set(self.keys_of(email)[:-1])
        lock = "SELECT FROM throttles WHERE key = $1 FOR UPDATE"
        assert (await sign_in(client, email, "wrong")).status_code == 400
        async with holding(admin, lock, first):
            asked = asyncio.create_task(sign_in(client, email, "wrong"))
            await until_it_waits(admin, asked)
            assert rest <= await free(another, "throttles", "key")
        assert (await asked).status_code == 400
        async with AsyncExitStack() as stack:
            async with holding(admin, "SELECT FROM users WHERE email = $1 FOR NO KEY UPDATE", email):
                asked = asyncio.create_task(sign_in(client, email))
                await until_it_waits(admin, asked)  # it is counted, and right
                await another.execute("UPDATE throttles SET since = since WHERE key = $1", first)  # now the last row
                await stack.enter_async_context(holding(another, lock, first))
            await until_it_waits(admin, asked)
            assert rest <= await free(admin, "throttles", "key")
        assert (await asked).status_code == 200

    async def test_those_of_others_hold_up_nobody(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        await admin.execute("INSERT INTO throttles (key, count, since) VALUES ('of another', 1, now())")
        async with holding(admin, "SELECT FROM throttles WHERE key = 'of another' FOR UPDATE"):
            assert (await sign_in(committing_client, email_of("visitor"))).status_code == 200

    async def test_a_count_that_was_cleared_meanwhile_stays_zero(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        async with holding(admin, "SELECT FROM users WHERE email = $1 FOR NO KEY UPDATE", email_of("visitor")):
            asked = asyncio.create_task(sign_in(committing_client, email_of("visitor")))
            await until_it_waits(admin, asked)
            await admin.execute("UPDATE throttles SET count = 0")
        assert (await asked).status_code == 200
        assert await admin.fetchval("SELECT min(count) FROM throttles") == 0


@pytest.mark.parametrize(
    "change",
    ["UPDATE users SET hashed_password = 'another'", "UPDATE users SET is_active = false", "DELETE FROM users"],
)
async def test_who_loses_the_account_while_the_password_is_checked_is_not_signed_in(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, change: str
) -> None:
    email = f"{len(change)}@zoo.example"
    made = await register(committing_client, email=email)
    async with holding(admin, f"{change} WHERE email = $1", email):
        asked = asyncio.create_task(sign_in(committing_client, email))
        await until_it_waits(admin, asked)
    assert (await asked).status_code == 400
    assert await admin.fetchval("SELECT count(*) FROM access_tokens WHERE user_id = $1", made.json()["id"]) == 0
