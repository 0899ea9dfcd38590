"""Idempotency-Key on orders: what is done in a session, and with services outside, is done once."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.losing import lose_the_client, lose_the_database
from tests.api.orders.ordering import CAKE, TEA, bring, order, status_of
from tests.api.orders.outside import serving
from tests.conftest import WAITING, answering
from tests.users import KEEPER, VISITOR, email_of

KEY = {"Idempotency-Key": "3f0c-1"}
# Seconds from when a key was claimed, or taken over, to the end of the claim.
LASTED = "SELECT extract(epoch FROM claimed_until - created_at)::int FROM idempotency_keys"


async def post(
    client: httpx.AsyncClient, *items: dict[str, Any], key: str = "3f0c-1", who: dict[str, str] = VISITOR
) -> httpx.Response:
    return await client.post("/orders", json={"order": list(items)}, headers={**who, "Idempotency-Key": key})


async def send(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await post(client, TEA, key=key)


async def how_many(client: httpx.AsyncClient) -> int:
    return len((await client.get("/orders")).json()["orders"])


class TestReplay:
    async def test_the_same_request_is_answered_as_before_and_not_done_again(self, client: httpx.AsyncClient) -> None:
        first = await post(client, TEA)
        assert first.status_code == 201
        path = first.headers["Location"]
        assert (
            await client.post(f"{path}/pay", headers=VISITOR)
        ).status_code == 200  # whatever has happened to it since
        again = await post(client, TEA)
        assert again.headers.pop("X-Request-ID") != first.headers.pop("X-Request-ID")
        assert (again.status_code, again.content, again.headers) == (201, first.content, first.headers)
        assert await how_many(client) == 1

    async def test_pay_is_answered_as_before(self, client: httpx.AsyncClient) -> None:
        path = await order(client)
        first = await client.post(f"{path}/pay", headers=VISITOR | KEY)
        await client.post(f"{path}/advance", headers=KEEPER)
        again = await client.post(f"{path}/pay", headers=VISITOR | KEY)
        assert (first.json()["status"], again.content) == ("paid", first.content)

    async def test_a_refusal_too_is_answered_as_before(self, client: httpx.AsyncClient) -> None:
        path = await bring(client, "cancelled")
        first = await client.post(f"{path}/pay", headers=VISITOR | KEY)
        again = await client.post(f"{path}/pay", headers=VISITOR | KEY)
        assert first.status_code == again.status_code == 409
        assert first.json() == again.json()


class TestAtOnce:
    async def test_while_the_first_is_in_progress_the_same_is_409_and_another_is_422(
        self, server: Server, database: str
    ) -> None:
        async with serving() as payments:
            settings = Settings(database_url=server.url("zoo_api", database), payments_url=payments.url)
            async with answering(create_app(settings)) as client:
                path, other = await order(client), await order(client)
                payments.script.append("hold")
                first = asyncio.create_task(client.post(f"{path}/pay", headers=VISITOR | KEY))
                await payments.arrived.wait()
                same = await client.post(f"{path}/pay", headers=VISITOR | KEY)
                assert same.status_code == 409
                assert int(same.headers["Retry-After"]) > 0
                assert (await client.post(f"{other}/pay", headers=VISITOR | KEY)).status_code == 422
                payments.go.set()
                assert (await first).status_code == 200
                assert (await client.post(f"{path}/pay", headers=VISITOR | KEY)).content == (await first).content
                assert len(payments.calls) == 1

    async def test_after_a_failure_the_key_can_be_used_again(self, server: Server, database: str) -> None:
        async with serving() as payments:
            settings = Settings(database_url=server.url("zoo_api", database), payments_url=payments.url)
            async with answering(create_app(settings)) as client:
                path = await order(client)
                payments.script.append("garbage")
                assert (await client.post(f"{path}/pay", headers=VISITOR | KEY)).status_code == 502
                assert (await client.post(f"{path}/pay", headers=VISITOR | KEY)).json()["status"] == "paid"


class TestLoss:
    async def test_no_order_is_made_twice_when_the_database_connection_is_cut_after_the_commit(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await lose_the_database(server, database, admin, "orders", send)

    async def test_no_order_is_made_twice_when_the_client_disconnects_before_the_answer(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        await lose_the_client(committing_client, admin, "orders", send)

    async def test_a_request_that_resumes_after_its_claim_ended_makes_no_second_order(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        async with admin.transaction():
            await admin.execute("LOCK TABLE orders")
            late = asyncio.create_task(post(committing_client, TEA))
            while not await admin.fetchval(WAITING):
                await asyncio.sleep(0.01)
            await admin.execute("UPDATE idempotency_keys SET claimed_until = now()")
        taken_over = await post(committing_client, TEA)
        assert ((await late).status_code, taken_over.status_code) == (409, 201)
        assert await admin.fetchval("SELECT count(*) FROM orders") == 1


class TestAge:
    async def test_what_is_answered_is_not_done_again_when_its_claim_has_ended(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        """Neither what was done in a session or by the driver, nor a refusal."""
        cancelled, gone = await bring(committing_client, "cancelled"), f"/orders/{uuid4()}"
        requests: list[tuple[str, Any, int]] = [
            ("/orders", {"order": [TEA]}, 201),
            ("/animals", {"name": "A"}, 201),
            (f"{cancelled}/pay", None, 409),
            (f"{gone}/pay", None, 404),
        ]

        async def send() -> list[httpx.Response]:
            return [
                await committing_client.post(path, json=body, headers=KEEPER | {"Idempotency-Key": f"k{number}"})
                for number, (path, body, _) in enumerate(requests)
            ]

        first = await send()
        assert [answer.status_code for answer in first] == [status for *_, status in requests]
        await admin.execute("UPDATE idempotency_keys SET claimed_until = now() - interval '1 hour'")
        again = await send()
        assert [answer.content for answer in again] == [answer.content for answer in first]
        for table, number in (("orders", 2), ("animals", 1)):
            assert await admin.fetchval(f"SELECT count(*) FROM {table}") == number


async def test_advances_with_one_key_are_one_step(client: httpx.AsyncClient) -> None:
    path = await bring(client, "paid")
    answers = [await client.post(f"{path}/advance", headers=KEEPER | KEY) for _ in range(3)]
    assert [answer.json()["status"] for answer in answers] == ["progress"] * 3
    assert await status_of(client, path) == "progress"
    assert (await client.post(f"{path}/advance", headers=KEEPER | {"Idempotency-Key": "b"})).json()[
        "status"
    ] != "progress"


async def test_that_a_request_came_too_early_is_not_kept(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    path = await bring(committing_client, "paid")
    await admin.execute("UPDATE orders SET claimed_until = now() + interval '1 minute'")  # it is being cancelled
    early = await committing_client.post(f"{path}/advance", headers=KEEPER | KEY)
    assert (early.status_code, int(early.headers["Retry-After"])) == (409, 2)
    await admin.execute("UPDATE orders SET claimed_until = NULL")
    later = await committing_client.post(f"{path}/advance", headers=KEEPER | KEY)
    assert (later.status_code, later.json()["status"]) == (200, "progress")


class TestWhoMayStillReadIt:
    async def test_a_role_that_is_taken_away(self, client: httpx.AsyncClient, session: AsyncSession) -> None:
        path = await bring(client, "paid")
        requests: list[tuple[str, Any, int]] = [
            (f"{path}/advance", None, 403),
            (f"{path}/pay", None, 404),
            (f"{path}/cancel", None, 404),
            ("/orders", {"order": [TEA]}, 201),
        ]
        for url, body, _ in requests:
            answer = await client.post(url, json=body, headers={**KEEPER, "Idempotency-Key": url})
            assert answer.status_code in {200, 201}
        await session.execute(text("UPDATE users SET type = 'visitor' WHERE email = :e"), {"e": email_of("keeper")})
        await session.commit()
        for url, body, status in requests:
            answer = await client.post(url, json=body, headers={**KEEPER, "Idempotency-Key": url})
            assert answer.status_code == status

    async def test_an_order_that_is_no_longer_theirs(self, client: httpx.AsyncClient, session: AsyncSession) -> None:
        created = await client.post("/orders", json={"order": [TEA]}, headers=VISITOR | KEY)
        path = created.headers["Location"]
        put = {**VISITOR, "Idempotency-Key": "put"}
        assert (await client.put(path, json={"order": [CAKE]}, headers=put)).status_code == 200
        await session.execute(text("UPDATE orders SET user_id = NULL"))
        await session.commit()
        again = await client.post("/orders", json={"order": [TEA]}, headers=VISITOR | KEY)
        assert (again.status_code, again.json()) == (404, {"detail": f"No order {path.rpartition('/')[2]}"})
        assert (await client.put(path, json={"order": [CAKE]}, headers=put)).status_code == 404

    async def test_an_order_that_was_deleted(self, client: httpx.AsyncClient) -> None:
        path = await order(client)
        pay, delete = {**VISITOR, "Idempotency-Key": "a"}, {**VISITOR, "Idempotency-Key": "b"}
        assert (await client.post(f"{path}/cancel", headers=pay)).status_code == 200
        assert [(await client.delete(path, headers=delete)).status_code for _ in range(2)] == [204, 204]
        assert (await client.post(f"{path}/cancel", headers=pay)).status_code == 404
