"""Who may do what with users, and sign in."""

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tests.api.cases import ADMIN, ANYBODY, USER, Case, Cases
from tests.users import PASSWORD, email_of

CREDENTIALS = {"username": email_of("visitor"), "password": PASSWORD}
CASES: Cases = {
    "POST /auth/register": Case(ANYBODY, 201, {"email": "WHO@new.example", "password": PASSWORD}, refuses_key=True),
    "POST /auth/jwt/login": Case(ANYBODY, 200, form=CREDENTIALS, refuses_key=True),
    "POST /auth/jwt/logout": Case(USER, 204, refuses_key=True),
    "POST /auth/cookie/login": Case(ANYBODY, 204, form=CREDENTIALS, refuses_key=True),
    "POST /auth/cookie/logout": Case(USER, 204, refuses_key=True),
    "POST /auth/forgot-password": Case(ANYBODY, 202, {"email": "WHO@nowhere.example"}, refuses_key=True),
    "POST /auth/reset-password": Case(ANYBODY, 400, {"token": "none", "password": PASSWORD}, refuses_key=True),
    "POST /auth/request-verify-token": Case(ANYBODY, 202, {"email": "WHO@nowhere.example"}, refuses_key=True),
    "POST /auth/verify": Case(ANYBODY, 400, {"token": "none"}, refuses_key=True),
    "GET /users": Case(ADMIN, 200),
    "GET /users/me": Case(USER, 200),
    "PATCH /users/me": Case(USER, 200, {}, refuses_key=True),
    "DELETE /users/me": Case(USER, 204, {"password": PASSWORD}, refuses_key=True),
    "GET /users/{user_id:uuid}": Case(ADMIN, 200),
    "PATCH /users/{user_id:uuid}": Case(ADMIN, 200, {"type": "keeper"}, refuses_key=True),
    "DELETE /users/{user_id:uuid}": Case(ADMIN, 204),
}


async def fill(_: httpx.AsyncClient, session: AsyncSession, path: str) -> str:
    """With the id of a new user: some requests end the one that they are about."""
    if "{user_id:uuid}" not in path:
        return path
    new = "INSERT INTO users (id, email, hashed_password) SELECT id, id || '@zoo.example', '' FROM uuidv7() AS id"
    return path.replace("{user_id:uuid}", str(await session.scalar(text(f"{new} RETURNING id"))))
