"""The api removes old tokens, and the addresses of users who do not return."""

from datetime import timedelta

import asyncpg
import httpx
import pytest

from local.postgres import Server
from tests.api.test_cleaning import DAY, ROWS, go_when_they_are_old, reads_only_old_rows, rows_of, small_batches

__all__ = ["small_batches"]  # a fixture

VISITORS = f"users, {ROWS} WHERE email LIKE 'visitor%'"
TABLES = {
    "access_tokens": (DAY, f"SELECT 'n' || n, users.id, now() - $1::interval FROM {VISITORS}"),
    "known_addresses": (90 * DAY, f"SELECT users.id, n, now() - $1::interval FROM {VISITORS}"),
}


@pytest.mark.parametrize("table", TABLES)
async def test_old_rows_go_and_others_stay(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, table: str
) -> None:
    await go_when_they_are_old(committing_client, admin, table, *TABLES[table])


@pytest.mark.parametrize("table", TABLES)
async def test_a_batch_reads_only_old_rows_by_an_index(
    server: Server, database: str, admin: asyncpg.Connection, table: str
) -> None:
    await admin.execute(f"INSERT INTO {table} {TABLES[table][1].replace('250', '3000')}", timedelta(0))
    await reads_only_old_rows(server, database, admin, rows_of(table))
