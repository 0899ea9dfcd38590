"""What each failure of the database means to a client, by the driver and by a session: a trigger raises it."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import Log
from tests.users import PASSWORD

# What Postgres raises, the status, and how the answer begins.
MEANINGS = {
    "23514": (409, "The change contradicts another one made at the same moment"),  # check violation
    "22003": (422, "The database refuses a value"),  # out of range
    "42P01": (503, "The schema is not the one that this release needs"),  # no such table
    "42703": (503, "The schema is not the one that this release needs"),  # no such column
    "40001": (503, "The database was busy with a conflicting change"),  # serialization failure
    "40P01": (503, "The database was busy with a conflicting change"),  # deadlock
    "55P03": (503, "The database was busy with a conflicting change"),  # lock not available
    "25006": (503, "The database is read-only"),
    "53100": (503, "The database's disk is full"),
    "26000": (503, "The "),  # no such prepared statement; a session says that the connection is lost
    "57014": (503, "The database has taken too long"),  # query cancelled
    "08P01": (503, "The database can't "),  # protocol violation
    "25P03": (503, "The database can't serve this now"),  # idle in transaction for too long
    "28000": (503, "The database can't serve this now"),  # login refused
    "3D000": (503, "The database can't serve this now"),  # no such database
    "53200": (503, "The database can't serve this now"),  # out of memory
    "53300": (503, "The database can't "),  # too many connections
    "57P01": (503, "The database can't "),  # it is being shut down
    "58030": (503, "The database can't serve this now"),  # input or output error
    "42501": (500, "Internal server error"),  # a right is missing
    "P0001": (500, "Internal server error"),
    "XX000": (500, "Internal server error"),
}


@pytest.mark.usefixtures("own_sessions", "log")  # in text, for people, formatting an error takes a second
async def test_each_code_has_its_meaning(committing_client: httpx.AsyncClient, admin: asyncpg.Connection) -> None:
    async def post(text: str) -> httpx.Response:
        return await committing_client.post("/animals", json={"name": text})

    await each_code_has_its_meaning(post, admin, "animals", "name")


async def each_code_has_its_meaning(
    post: Callable[[str], Awaitable[httpx.Response]], admin: asyncpg.Connection, table: str, column: str
) -> None:
    """Of a trigger that raises the code that is to be stored in this column."""
    await admin.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$"
        f"BEGIN IF NEW.{column} <> 'good' THEN RAISE 'No' USING ERRCODE = NEW.{column}; END IF; RETURN NEW; END$$"
    )
    await admin.execute(f"CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()")

    for code, (status, said) in MEANINGS.items():
        answer = await post(code)
        detail: Any = answer.json()["detail"]
        assert (answer.status_code, code) == (status, code), detail
        assert (detail if isinstance(detail, str) else detail[0]["msg"]).startswith(said), code
        assert answer.headers.get("Retry-After") == ("2" if status == 503 else None), code
    assert (await post("good")).status_code == 201
    assert await admin.fetchval(f"SELECT count(*) FROM {table}") == 1


@pytest.mark.parametrize("path", ["/animals", "/auth/register"])
async def test_the_traceback_of_a_500_has_nothing_of_what_was_to_be_stored(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, log: Callable[[], list[Log]], path: str
) -> None:
    table = {
        "/animals": "animals",
        "/auth/register": "users",
    }[path]
    await fail_in(admin, table)
    bodies: dict[str, Any] = {
        "/auth/register": {"email": "secret.person@zoo.example", "password": f"{PASSWORD} secret"},
        "/animals": {"name": "Secret Person", "species": "secret.person@zoo.example"},
    }
    assert (await committing_client.post(path, json=bodies[path])).status_code == 500
    assert_nothing_of_it_is_in(log())


def assert_nothing_of_it_is_in(log: list[Log]) -> None:
    (traceback,) = (line["exception"] for line in log if line["event"] == "unexpected error")
    assert "RaiseError: No" in traceback
    assert "ecret" not in str(log)
    assert "argon2" not in str(log)


async def fail_in(admin: asyncpg.Connection, table: str) -> None:
    """Make each INSERT into the table fail."""
    await admin.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'No'; END$$;"
        f"CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fail()"
    )
