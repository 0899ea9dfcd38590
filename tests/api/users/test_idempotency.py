"""Idempotency-Key: whose it is, and who is still given the answer."""

from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.main import create_app
from api.settings import Settings
from tests.api.test_idempotency_everywhere import KEY, UNSAFE, snapshot
from tests.api.test_permissions import MATRIX, filled
from tests.users import ADMIN, KEEPER, email_of

REFUSING = [route for route in UNSAFE if MATRIX[route].refuses_key]


def has_a_secret(route: APIRoute) -> bool:
    fields = getattr(getattr(route.body_field, "field_info", None), "annotation", None)
    return route.path.startswith("/auth/") or bool(
        {"password", "current_password"} & set(fields.model_fields if fields else ())
    )


def test_the_routes_with_a_secret_are_those_that_refuse_a_key() -> None:
    routes = [route for route in create_app(Settings()).routes if isinstance(route, APIRoute)]
    found = {f"{method} {route.path}" for route in routes if has_a_secret(route) for method in route.methods or ()}
    assert found == set(REFUSING)


async def test_a_route_with_a_secret_refuses_it_and_changes_nothing(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    paths = {route: await filled(client, session, route.partition(" ")[2]) for route in REFUSING}
    before = await snapshot(session)
    for route, path in paths.items():
        case, method = MATRIX[route], route.partition(" ")[0]
        refused = await client.request(method, path, json=case.json, data=case.form, headers=KEY)
        assert (refused.status_code, route) == (422, route)
        assert refused.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]
    assert await snapshot(session) == before


async def test_each_user_has_keys_of_their_own(client: httpx.AsyncClient) -> None:
    made = [await client.post("/animals", json={"name": "A"}, headers=who | KEY) for who in (KEEPER, ADMIN, KEEPER)]
    assert [answer.status_code for answer in made] == [201] * 3
    assert made[0].json() == made[2].json() != made[1].json()


async def test_an_admin_may_leave_under_a_key(client: httpx.AsyncClient) -> None:
    me = (await client.get("/users/me")).json()["id"]
    assert (await client.delete(f"/users/{me}", headers=KEY)).status_code == 204
    assert (await client.delete(f"/users/{me}", headers=KEY)).status_code == 401


async def test_what_could_not_be_deleted_is_refused_as_before(client: httpx.AsyncClient) -> None:
    first, again = [await client.delete(f"/users/{UUID(int=1)}", headers=KEY) for _ in range(2)]
    assert (first.status_code, again.status_code, again.json()) == (404, 404, first.json())


async def test_a_role_that_is_taken_away(client: httpx.AsyncClient, session: AsyncSession) -> None:
    create, body = KEEPER | KEY, {"name": "Amara"}
    assert (await client.post("/animals", json=body, headers=create)).status_code == 201
    await session.execute(text("UPDATE users SET type = 'visitor' WHERE email = :e"), {"e": email_of("keeper")})
    await session.commit()
    assert (await client.post("/animals", json=body, headers=create)).status_code == 403


async def test_a_token_that_has_ended(client: httpx.AsyncClient) -> None:
    assert (await client.post("/animals", json={"name": "A"}, headers=KEEPER | KEY)).status_code == 201
    assert (await client.post("/auth/jwt/logout", headers=KEEPER)).status_code == 204
    assert (await client.post("/animals", json={"name": "A"}, headers=KEEPER | KEY)).status_code == 401


@pytest.mark.parametrize(
    ("before", "answer"), [(9_999, 0), (20, 1_000_000)], ids=["ten thousand keys", "answers of 20 MB"]
)
async def test_a_user_has_so_many_and_others_do_not_count(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, before: int, answer: int
) -> None:
    for who, number in (("keeper", before), ("visitor", 10_001)):
        await admin.execute(
            "INSERT INTO idempotency_keys (user_id, key, request_hash, claimed_until, status, response)"
            " SELECT users.id, n, '', now(), 201, repeat('x', $1) FROM users, generate_series(1, $2::int) AS n"
            " WHERE email = $3",
            answer if who == "keeper" else 0,
            number,
            email_of(who),
        )
    requests = [KEEPER | {"Idempotency-Key": f"k{number}"} for number in range(2)]
    answers = [await committing_client.post("/animals", json={"name": "A"}, headers=one) for one in requests]
    assert [one.status_code for one in answers] == [201, 429]
    assert (await committing_client.post("/animals", json={"name": "A"}, headers=ADMIN | KEY)).status_code == 201
