"""Pairs of requests about one order at the same moment, hundreds of them."""

import asyncpg
import httpx
import pytest

from tests.api.test_orders_concurrency import RACES, Race, run
from tests.rounds import rounds

MANY = rounds(quick=1, full=12), 9  # rounds, and pairs at once in each, with a share of 20 connections


@pytest.mark.parametrize("case", RACES, ids=lambda case: f"{case[0]}-{case[1].__name__}-{case[2].__name__}")
async def test_of_two_at_once_one_wins_and_the_other_gets_an_answer_for_the_new_state_every_time(
    committing_client: httpx.AsyncClient, admin: asyncpg.Connection, case: Race
) -> None:
    await run(committing_client, admin, case, MANY)
