"""Idempotency-Key: if a client sends a request again, because it does not know the result, it is done once."""

import asyncio

import asyncpg
import httpx
import pytest

from local.postgres import Server
from tests.api.losing import lose_the_client, lose_the_database
from tests.conftest import WAITING
from tests.users import ADMIN, KEEPER

KEY = {"Idempotency-Key": "3f0c-1"}
# Seconds from when a key was claimed, or taken over, to the end of the claim.
LASTED = "SELECT extract(epoch FROM claimed_until - created_at)::int FROM idempotency_keys"


async def post(
    client: httpx.AsyncClient, name: str, key: str = "3f0c-1", who: dict[str, str] = KEEPER
) -> httpx.Response:
    return await client.post("/animals", json={"name": name}, headers={**who, "Idempotency-Key": key})


async def send(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await post(client, "Amara", key=key)


async def how_many(client: httpx.AsyncClient) -> int:
    return len((await client.get("/animals")).json())


class TestReplay:
    async def test_the_same_request_is_answered_as_before_and_not_done_again(self, client: httpx.AsyncClient) -> None:
        first = await post(client, "Amara")
        assert first.status_code == 201
        path = first.headers["Location"]
        changed = await client.patch(path, json={"name": "Zuri"}, headers=KEEPER)
        assert changed.status_code == 200  # whatever has happened to it since
        again = await post(client, "Amara")
        assert again.headers.pop("X-Request-ID") != first.headers.pop("X-Request-ID")
        assert (again.status_code, again.content, again.headers) == (201, first.content, first.headers)
        assert await how_many(client) == 1

    async def test_the_same_body_written_differently_is_the_same(self, client: httpx.AsyncClient) -> None:
        first = await post(client, "Amara")
        spaced = '{ "name" : "\\u0041mara" }'
        headers = KEEPER | KEY | {"Content-Type": "application/json"}
        again = await client.post("/animals", content=spaced, headers=headers)
        assert again.content == first.content

    async def test_another_body_is_422_and_says_where(self, client: httpx.AsyncClient) -> None:
        await post(client, "Amara")
        other = await post(client, "Bahati")
        assert other.status_code == 422
        [said] = other.json()["detail"]
        assert said["loc"] == ["header", "Idempotency-Key"]
        assert said["msg"] == "was used for another request: use a new one"
        assert await how_many(client) == 1

    async def test_of_a_body_that_cannot_be_read_that_is_said(self, client: httpx.AsyncClient) -> None:
        await post(client, "Amara")
        refused = await client.post("/animals", json={"name": 1}, headers=KEEPER | KEY)
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["loc"] == ["body", "name"]

    async def test_another_operation_is_422(self, client: httpx.AsyncClient) -> None:
        path = (await post(client, "Amara")).headers["Location"]
        other = await client.patch(path, json={"name": "Amara"}, headers=KEEPER | KEY)
        assert other.status_code == 422

    async def test_keys_are_a_users_own(self, client: httpx.AsyncClient) -> None:
        assert (await post(client, "Amara")).status_code == 201
        assert (await post(client, "Bahati", who=ADMIN)).status_code == 201
        assert await how_many(client) == 2

    async def test_another_key_is_another_record(self, client: httpx.AsyncClient) -> None:
        paths = {(await post(client, "Amara", key=key)).headers["Location"] for key in ("a", "b", "A")}
        assert len(paths) == 3

    @pytest.mark.parametrize(("url", "body"), [("/animals", {"name": "Amara"}), ("/animals/1/restore", None)])
    async def test_an_invalid_key_is_422(
        self, client: httpx.AsyncClient, url: str, body: dict[str, str] | None
    ) -> None:
        for key in ("", " ", "a b", "x" * 256, "\x7f", "ä", "a\tb"):
            raw = {name.encode(): value.encode("latin-1") for name, value in {**ADMIN, "Idempotency-Key": key}.items()}
            answer = await client.post(url, json=body, headers=raw)
            assert answer.status_code == 422, key
            assert answer.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]

    async def test_the_longest_key_is_accepted(self, client: httpx.AsyncClient) -> None:
        key = "".join(chr(33 + n % 94) for n in range(255))
        assert (await post(client, "Amara", key=key)).content == (await post(client, "Amara", key=key)).content

    async def test_a_request_that_is_refused_before_it_begins_leaves_the_key_free(
        self, client: httpx.AsyncClient
    ) -> None:
        assert (await post(client, "")).status_code == 422
        assert (await post(client, "Amara")).status_code == 201


class TestAtOnce:
    async def test_of_many_requests_one_is_done_and_the_others_wait_or_get_its_answer(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        for number in range(2):
            key = f"round-{number}"
            answers = await asyncio.gather(*(post(committing_client, "Amara", key=key) for _ in range(4)))
            assert {answer.status_code for answer in answers} <= {201, 409}
            assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
            for answer in answers:
                assert answer.status_code == 201 or int(answer.headers["Retry-After"]) > 0
        assert await admin.fetchval("SELECT count(*) FROM animals") == 2


class TestLoss:
    async def test_no_record_is_made_twice_when_the_database_connection_is_cut_after_the_commit(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await lose_the_database(server, database, admin, "animals", send)

    async def test_no_record_is_made_twice_when_the_client_disconnects_before_the_answer(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        await lose_the_client(committing_client, admin, "animals", send)

    async def test_the_claim_of_a_worker_that_died_ends_by_itself(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        await post(committing_client, "Amara")
        await admin.execute(
            "UPDATE idempotency_keys SET status = NULL, response = NULL"
        )  # as if it had not been answered
        under_way = await post(committing_client, "Amara")
        assert (under_way.status_code, "is under way" in under_way.json()["detail"]) == (409, True)
        await admin.execute("UPDATE idempotency_keys SET claimed_until = now()")
        assert (await post(committing_client, "Bahati")).status_code == 422
        assert (await post(committing_client, "Amara")).status_code == 201
        assert (
            await admin.fetchval(LASTED) == 60
        )  # as the first claim: the api takes seconds for a request, not a minute

    async def test_a_claim_lasts_a_minute(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        await post(committing_client, "Amara")
        assert await admin.fetchval(LASTED) == 60

    async def test_a_request_that_resumes_after_its_claim_ended_makes_no_second_record(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        async with admin.transaction():
            await admin.execute("LOCK TABLE animals")
            late = asyncio.create_task(post(committing_client, "Amara"))
            while not await admin.fetchval(WAITING):
                await asyncio.sleep(0.01)
            await admin.execute("UPDATE idempotency_keys SET claimed_until = now()")
        taken_over = await post(committing_client, "Amara")
        refused = await late
        assert (refused.status_code, taken_over.status_code) == (409, 201)
        assert "has taken over" in refused.json()["detail"]
        assert await admin.fetchval("SELECT count(*) FROM animals") == 1

    async def test_one_that_is_refused_after_its_claim_ended_is_told_why(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        async with admin.transaction():
            await admin.execute("LOCK TABLE animals")
            late = asyncio.create_task(committing_client.patch("/animals/9", json={}, headers=KEEPER | KEY))
            while not await admin.fetchval(WAITING):
                await asyncio.sleep(0.01)
            await admin.execute("UPDATE idempotency_keys SET claimed_until = now()")
        assert (await late).status_code == 404


class TestAge:
    async def test_a_key_is_forgotten_after_a_day(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        first = await post(committing_client, "Amara")
        await admin.execute("UPDATE idempotency_keys SET created_at = now() - interval '23 hours 59 minutes'")
        assert (await post(committing_client, "Amara")).content == first.content
        await admin.execute("UPDATE idempotency_keys SET created_at = now() - interval '24 hours'")
        second = await post(committing_client, "Bahati")
        assert second.status_code == 201
        assert (await post(committing_client, "Bahati")).content == second.content
