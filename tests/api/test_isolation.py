"""The api does not depend on defaults of the database, or of its role."""

import re
from contextlib import AbstractAsyncContextManager

import asyncpg
import httpx
import pytest

from api.main import create_app
from api.schemas.text import Name
from api.settings import Settings
from local.postgres import Server
from tests.api.records import RESOURCE_OF, RESOURCES
from tests.conftest import started

# Of those that everybody may set: what changes how Postgres reads or writes values, or runs a transaction.
ODD = {
    "default_transaction_isolation": "serializable", "default_transaction_deferrable": "on",
    "TimeZone": "Asia/Kathmandu", "DateStyle": "German", "IntervalStyle": "sql_standard", "extra_float_digits": "-10",
    "bytea_output": "escape", "xmlbinary": "hex", "standard_conforming_strings": "off", "client_encoding": "LATIN1",
    "transform_null_equals": "on", "array_nulls": "off", "quote_all_identifiers": "on", "row_security": "off",
    "default_text_search_config": "german", "default_toast_compression": "pglz", "jit": "on", "jit_above_cost": "0",
    "enable_seqscan": "off", "plan_cache_mode": "force_generic_plan", "statement_timeout": "1h",
}  # fmt: skip


async def set_by_default(admin: asyncpg.Connection, database: str, **settings: str) -> None:
    """For the api on this database: these take precedence over what the database or the role has."""
    for name, value in settings.items():
        await admin.execute(f"ALTER ROLE zoo_api IN DATABASE {database} SET {name} = '{value}'")


def api(server: Server, database: str) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    return started(create_app(Settings(database_url=server.url("zoo_api", database), database_pool_timeout=30)))


async def answers(client: httpx.AsyncClient) -> list[str]:
    """What the api answers about records that are created, with 0 for each digit of a time."""
    found: list[str] = []
    ids: dict[str, int] = {}
    for resource in RESOURCE_OF.values():  # what they belong to comes first
        parents = {
            field: ids[parent.name] if field in resource.required else None
            for field, parent in resource.parents.items()
        }
        texts = dict.fromkeys(resource.of_kind(Name), "\\ \u00e9 \u4e2d")
        created = await client.post(resource.path, json=resource.example | parents)
        ids[resource.name] = created.json()["id"]
        for answer in (
            created,
            await client.patch(created.headers["Location"], json=texts),
            await client.get(resource.path),
            await client.get(f"{resource.path}?limit=1"),
        ):
            assert answer.is_success, answer.text
            found.append(answer.text)
    return [re.sub(r"\d+(?=[-:.TZ\d])|(?<=[-:.T\d])\d+", "0", text) for text in found]


@pytest.mark.usefixtures("own_sessions")
async def test_answers_are_the_same_whatever_the_defaults(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    async with api(server, database) as client:
        expected = await answers(client)
    await admin.execute(f"TRUNCATE {', '.join(resource.quoted for resource in RESOURCES)} RESTART IDENTITY CASCADE")
    await set_by_default(admin, database, **ODD)
    async with api(server, database) as client:
        assert await answers(client) == expected


@pytest.mark.parametrize(
    ("odd", "said"), [({"default_transaction_read_only": "on"}, "read-only"), ({"search_path": "elsewhere"}, "schema")]
)
async def test_a_default_with_which_it_can_not_work_is_said(
    server: Server, database: str, admin: asyncpg.Connection, odd: dict[str, str], said: str
) -> None:
    await set_by_default(admin, database, **odd)
    async with api(server, database) as client:
        refused = await client.post("/animals", json={"name": "Amara"})
    assert refused.status_code == 503
    assert said in refused.json()["detail"]
