"""Idempotency-Key on every route that changes something: it is honoured, or refused; never ignored.

And an answer is given again only to who may still read it.
"""

import asyncio

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud import idempotency
from api.external_services.s3 import S3
from api.external_services.services import Services
from api.http.methods import SAFE_METHODS
from api.models import Base
from api.models.idempotency import IdempotencyKey
from tests.api.records import make, new
from tests.api.test_limits import HOUR, said
from tests.api.test_permissions import MATRIX, filled
from tests.api.test_text import NFC, NFD

KEY = {"Idempotency-Key": "once"}
UNSAFE = [route for route in MATRIX if route.partition(" ")[0] not in SAFE_METHODS]
ROWS = " UNION ALL ".join(
    f"SELECT '{table}', md5(string_agg(t::text, '' ORDER BY t::text)) FROM \"{table}\" t"
    for table in sorted(Base.metadata.tables.keys() - {IdempotencyKey.__tablename__})
)


@pytest.fixture
def services(s3: S3) -> Services:
    return Services(s3=s3)


async def snapshot(session: AsyncSession) -> list[tuple[str, str | None]]:
    """The rows of all tables but that of the keys."""
    return [(table, rows) for table, rows in await session.execute(text(ROWS))]


@pytest.mark.parametrize("route", [route for route in UNSAFE if not MATRIX[route].refuses_key])
async def test_every_route_that_changes_something_is_done_once(
    client: httpx.AsyncClient, session: AsyncSession, route: str
) -> None:
    case, (method, _, template) = MATRIX[route], route.partition(" ")
    path = await filled(client, session, template)
    body = case.json if case.new is None else await new(client, case.new)
    before = await snapshot(session)
    first = await client.request(method, path, json=body, data=case.form, headers=KEY)
    after = await snapshot(session)
    again = await client.request(method, path, json=body, data=case.form, headers=KEY)
    assert first.status_code < 300, first.text
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("Location", "Content-Type"):
        assert again.headers.get(name) == first.headers.get(name)
    assert before != after
    assert await snapshot(session) == after


async def test_a_safe_request_may_have_one(client: httpx.AsyncClient) -> None:
    assert (await client.get("/animals", headers=KEY)).status_code == 200


async def test_what_is_left_out_of_a_change_is_not_null(client: httpx.AsyncClient) -> None:
    path = f"/animals/{(await make(client, '/animals'))['id']}"
    assert (await client.patch(path, json={}, headers=KEY)).status_code == 200
    assert (await client.patch(path, json={"species": None}, headers=KEY)).status_code == 422
    assert (await client.patch(path, headers=KEY)).status_code == 422
    assert (await client.patch(f"{path}0", json={}, headers=KEY)).status_code == 422  # another record


@pytest.mark.parametrize("body", ["{", '{"name": "A", "name": "B"}', '{"name": 1}', '{"nam": "A"}', "[]", ""])
async def test_a_body_that_cannot_be_read_leaves_the_key_free(client: httpx.AsyncClient, body: str) -> None:
    headers = KEY | {"Content-Type": "application/json"}
    assert (await client.post("/animals", content=body, headers=headers)).status_code == 422
    assert (await client.post("/animals", json={"name": "A"}, headers=headers)).status_code == 201


async def test_a_precondition_that_fails_leaves_the_key_free_and_a_refusal_is_answered_as_before(
    client: httpx.AsyncClient,
) -> None:
    path = f"/exhibits/{(await make(client, '/exhibits'))['id']}"
    stale = await client.patch(path, json={"name": "B"}, headers=KEY | {"If-Match": '"x"'})
    assert stale.status_code == 412
    assert (await client.patch(path, json={"name": "B"}, headers=KEY)).status_code == 200
    animal = await make(client, "/animals", exhibit_id=int(path.rpartition("/")[2]))
    gone = {"Idempotency-Key": "delete"}
    refused = await client.delete(path, headers=gone)
    assert (await client.delete(f"/animals/{animal['id']}")).status_code == 200
    again = await client.delete(path, headers=gone)
    assert (refused.status_code, again.status_code, again.json()) == (409, 409, refused.json())
    assert (await client.delete(path)).status_code == 200
    assert (await client.delete(path, headers=gone)).status_code == 404  # nobody may read what it is about


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_that_there_was_no_such_record_is_answered_as_before(client: httpx.AsyncClient, method: str) -> None:
    path = f"/animals/{(await make(client, '/animals'))['id']}"
    body = {"name": "B"} if method == "PATCH" else None
    await client.delete(path)
    first = await client.request(method, path, json=body, headers=KEY)
    restored = await client.post(f"{path}/restore")
    again = await client.request(method, path, json=body, headers=KEY)
    assert (first.status_code, again.status_code, again.json()) == (404, 404, first.json())
    assert (await client.get(path)).json() == restored.json()


class TestWhoMayStillReadIt:
    async def test_a_record_that_was_deleted_though_its_deletion_is_answered_as_before(
        self, client: httpx.AsyncClient
    ) -> None:
        created = await client.post("/animals", json={"name": "Amara"}, headers=KEY)
        path, change, delete = (
            created.headers["Location"],
            {"Idempotency-Key": "b"},
            {"Idempotency-Key": "c"},
        )
        assert (await client.patch(path, json={"name": "B"}, headers=change)).status_code == 200
        deleted = await client.delete(path, headers=delete)
        assert (await client.post("/animals", json={"name": "Amara"}, headers=KEY)).status_code == 404
        assert (await client.patch(path, json={"name": "B"}, headers=change)).status_code == 404
        assert (await client.delete(path, headers=delete)).content == deleted.content


class TestReal:
    """With real commits."""

    @pytest.mark.parametrize(("limit", "most"), [("MAX_KEYS", 3), ("MAX_BYTES", 700)])
    async def test_a_client_has_so_many_keys_at_a_time(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch,
        limit: str, most: int,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(idempotency, limit, most)
        keys = [{"Idempotency-Key": f"k{number}"} for number in range(12)]
        asked = (committing_client.post("/animals", json={"name": "A"}, headers=headers) for headers in keys)
        answers = await asyncio.gather(*asked)
        done = [answer for answer in answers if answer.status_code == 201]
        assert {answer.status_code for answer in answers} == {201, 429}
        assert (
            len(done)
            == await admin.fetchval("SELECT count(*) FROM animals")
            == await admin.fetchval("SELECT count(*) FROM idempotency_keys")
        )
        assert limit == "MAX_BYTES" or len(done) == most
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.headers["Retry-After"] for answer in refused} == {"600"}
        assert all("Too many Idempotency-Keys" in answer.json()["detail"] for answer in refused)


async def test_an_idempotency_key_takes_two_forms_for_one_request(client: httpx.AsyncClient) -> None:
    sent = [
        await client.post(
            "/animals",
            json={"name": name},
            headers=KEY,
        )
        for name in (NFC, NFD)
    ]
    assert [answer.status_code for answer in sent] == [201, 201]
    assert sent[0].json() == sent[1].json()


def test_the_limits_are_those_in_the_documents() -> None:
    assert "done once, however often it arrives within 24 hours" in said("api")
    assert idempotency.KEPT_FOR.total_seconds() == 24 * HOUR
    assert "has 10,000 keys at a time, and answers of 20 MB" in said("api")
    assert (idempotency.MAX_KEYS, idempotency.MAX_BYTES) == (10_000, 20_000_000)
