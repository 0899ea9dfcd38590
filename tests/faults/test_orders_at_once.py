"""Pairs of requests about one order at the same moment, hundreds of them; tests/api has a few of each kind."""

import asyncpg
import httpx
import pytest

from tests.api.orders.test_concurrency import RACES, Race, run
from tests.rounds import ROUNDS

MANY = 12, 9  # rounds, and pairs at once in each, with a share of 20 connections


@pytest.mark.skipif(ROUNDS != "full", reason="a few pairs of each kind are in tests/api; hundreds ask for ROUNDS=full")
@pytest.mark.parametrize("case", RACES, ids=lambda case: f"{case[0]}-{case[1].__name__}-{case[2].__name__}")
async def test_of_two_at_once_one_wins_and_the_other_gets_an_answer_for_the_new_state_every_time(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, case: Race
) -> None:
    await run(committing_client, admin, case, MANY)
