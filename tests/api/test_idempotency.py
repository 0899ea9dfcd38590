"""Idempotency-Key: if a client sends a request again, because it does not know the result, it is done once."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from starlette.types import Message

from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.orders.ordering import CAKE, KEEPER, TEA, VISITOR, bring, order
from tests.api.orders.outside import serving
from tests.api.postgres_proxy import proxying
from tests.conftest import WAITING, started

KEY = {"Idempotency-Key": "3f0c-1"}
# Seconds from when a key was claimed, or taken over, to the end of the claim.
LASTED = "SELECT extract(epoch FROM claimed_until - created_at)::int FROM idempotency_keys"


async def post(
    client: httpx.AsyncClient, *items: dict[str, Any], key: str = "3f0c-1", who: dict[str, str] = VISITOR
) -> httpx.Response:
    return await client.post("/orders", json={"order": list(items)}, headers={**who, "Idempotency-Key": key})


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

    async def test_the_same_body_written_differently_is_the_same(self, client: httpx.AsyncClient) -> None:
        first = await post(client, TEA)
        spaced = '{ "order": [ {"size": "small", "product": "T\\u0065a"} ] }'
        headers = VISITOR | KEY | {"Content-Type": "application/json"}
        again = await client.post("/orders", content=spaced, headers=headers)
        assert again.content == first.content

    async def test_another_body_is_422_and_says_where(self, client: httpx.AsyncClient) -> None:
        await post(client, TEA)
        other = await post(client, CAKE)
        assert other.status_code == 422
        assert other.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]
        assert await how_many(client) == 1

    async def test_another_operation_is_422(self, client: httpx.AsyncClient) -> None:
        path = (await post(client, TEA)).headers["Location"]
        other = await client.post(f"{path}/pay", headers=VISITOR | KEY)
        assert other.status_code == 422

    async def test_keys_are_a_users_own(self, client: httpx.AsyncClient) -> None:
        assert (await post(client, TEA)).status_code == 201
        assert (await post(client, CAKE, who=KEEPER)).status_code == 201
        assert await how_many(client) == 2

    async def test_another_key_is_another_order(self, client: httpx.AsyncClient) -> None:
        paths = {(await post(client, TEA, key=key)).headers["Location"] for key in ("a", "b", "A")}
        assert len(paths) == 3

    @pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "\x7f", "ä", "a\tb"])
    async def test_an_invalid_key_is_422(self, client: httpx.AsyncClient, key: str) -> None:
        raw = {name.encode(): value.encode("latin-1") for name, value in {**VISITOR, "Idempotency-Key": key}.items()}
        path = await order(client)
        for url, body in [("/orders", {"order": [TEA]}), (f"{path}/pay", None)]:
            answer = await client.post(url, json=body, headers=raw)
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]

    async def test_the_longest_key_is_accepted(self, client: httpx.AsyncClient) -> None:
        key = "".join(chr(33 + n % 94) for n in range(255))
        assert (await post(client, TEA, key=key)).content == (await post(client, TEA, key=key)).content

    async def test_a_request_that_is_refused_before_it_begins_leaves_the_key_free(
        self, client: httpx.AsyncClient
    ) -> None:
        assert (await post(client)).status_code == 422
        assert (await post(client, TEA)).status_code == 201

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
    async def test_of_many_requests_one_is_done_and_the_others_wait_or_get_its_answer(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        for number in range(2):
            key = f"round-{number}"
            answers = await asyncio.gather(*(post(committing_client, TEA, key=key) for _ in range(4)))
            assert {answer.status_code for answer in answers} <= {201, 409}
            assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
            for answer in answers:
                assert answer.status_code == 201 or int(answer.headers["Retry-After"]) > 0
        assert await admin.fetchval("SELECT count(*) FROM orders") == 2

    async def test_while_the_first_is_in_progress_the_same_is_409_and_another_is_422(
        self, server: Server, database: str
    ) -> None:
        async with serving() as payments:
            settings = Settings(database_url=server.url("zoo_api", database), payments_url=payments.url)
            async with started(create_app(settings)) as client:
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
            async with started(create_app(settings)) as client:
                path = await order(client)
                payments.script.append("garbage")
                assert (await client.post(f"{path}/pay", headers=VISITOR | KEY)).status_code == 502
                assert (await client.post(f"{path}/pay", headers=VISITOR | KEY)).json()["status"] == "paid"


class GoneError(Exception):
    """The client no longer reads the answer."""


class TestLoss:
    async def test_no_order_is_made_twice_when_the_database_connection_is_cut_after_the_commit(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        async with proxying(server.socket_dir / ".s.PGSQL.5432") as proxy:
            url = f"postgresql://zoo_api@127.0.0.1:{proxy.port}/{database}?sslmode=disable"
            async with started(create_app(Settings(database_url=url, database_pool_size=3))) as client:
                for number in range(5):
                    proxy.armed = b"INSERT INTO orders"
                    lost = await post(client, TEA, key=f"k{number}")
                    assert lost.status_code == 503
                    assert proxy.cuts == number + 1
                    again = await post(client, TEA, key=f"k{number}")
                    assert again.status_code == 201
                    assert await admin.fetchval("SELECT count(*) FROM orders") == number + 1

    async def test_no_order_is_made_twice_when_the_client_disconnects_before_the_answer(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        app = committing_client._transport.app  # type: ignore[attr-defined]  # noqa: SLF001 - httpx's
        committed: list[int] = []

        async def leaving(scope: Any, receive: Any, _: Any) -> None:
            async def gone(_: Message) -> None:
                committed.append(await admin.fetchval("SELECT count(*) FROM orders"))

            await app(scope, receive, gone)
            raise GoneError

        headers = VISITOR | KEY
        async with httpx.AsyncClient(transport=httpx.ASGITransport(leaving), base_url="http://zoo.test") as client:
            with pytest.raises(GoneError):
                await client.post("/orders", json={"order": [TEA]}, headers=headers)
        assert committed[0] == 1  # before the first byte of the answer
        again = await post(committing_client, TEA)
        assert again.status_code == 201
        assert await admin.fetchval("SELECT count(*) FROM orders") == 1

    async def test_the_claim_of_a_worker_that_died_ends_by_itself(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        await post(committing_client, TEA)
        await admin.execute(
            "UPDATE idempotency_keys SET status = NULL, response = NULL"
        )  # as if it had not been answered
        assert (await post(committing_client, TEA)).status_code == 409
        await admin.execute("UPDATE idempotency_keys SET claimed_until = now()")
        assert (await post(committing_client, CAKE)).status_code == 422
        assert (await post(committing_client, TEA)).status_code == 201
        assert (
            await admin.fetchval(LASTED) == 60
        )  # as the first claim: the api takes seconds for a request, not a minute

    async def test_a_claim_lasts_a_minute(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        await post(committing_client, TEA)
        assert await admin.fetchval(LASTED) == 60

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

    async def test_a_key_is_forgotten_after_a_day(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        first = await post(committing_client, TEA)
        await admin.execute("UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes'")
        assert (await post(committing_client, TEA)).content == first.content
        await admin.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")
        second = await post(committing_client, CAKE)
        assert second.status_code == 201
        assert (await post(committing_client, CAKE)).content == second.content
