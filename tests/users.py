"""The users of the tests' databases."""

from datetime import timedelta

import asyncpg
import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from api.crud.accounts import passwords
from api.crud.accounts.access_tokens import hash_token
from local.postgres import SUPERUSER, Server
from tests.bearer import bearer

# The users in every migrated database: one of each type, one deactivated, and one whose token has expired.
PEOPLE = {"visitor": "visitor", "keeper": "keeper", "admin": "admin", "inactive": "admin", "expired": "admin"}
VISITOR, KEEPER, ADMIN = bearer("visitor"), bearer("keeper"), bearer("admin")
PASSWORD = "correct horse battery staple"
# Hashes with the least work: with the api's, which are as slow as is safe, hashing would be a quarter of all work.
REAL_HASHER = passwords._hasher  # noqa: SLF001 - it sets the work
LEAST_HASHER = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
HASHED_PASSWORD = LEAST_HASHER.hash(PASSWORD)
passwords._hasher = LEAST_HASHER  # noqa: SLF001 - not by a fixture, for which all tests would pay


@pytest.fixture
def real_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the work that a hash takes."""
    monkeypatch.setattr(passwords, "_hasher", REAL_HASHER)


def email_of(name: str) -> str:
    return f"{name}@zoo.example"


async def add_people(server: Server, database: str) -> None:
    """Add PEOPLE, each with their name as token."""
    connection = await asyncpg.connect(server.url(SUPERUSER, database))
    for name, type_ in PEOPLE.items():
        user_id = await connection.fetchval(
            "INSERT INTO users (id, email, hashed_password, type, is_active)"
            " VALUES (gen_random_uuid(), $1, $2, $3, $4) RETURNING id",
            email_of(name),
            HASHED_PASSWORD,
            type_,
            name != "inactive",
        )
        await connection.execute(
            "INSERT INTO access_tokens (token, user_id, created_at)"
            " VALUES ($1, $2, statement_timestamp() - $3::interval)",
            hash_token(name),
            user_id,
            timedelta(days=365 if name == "expired" else 0),
        )
    await connection.close()
