"""Two clients change the same thing at the same moment, each with the tag that they have seen: no update is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.api.records import make
from tests.bearer import bearer
from tests.rounds import rounds

PAIRS = rounds(quick=50, full=200)
AT_ONCE = 5  # pairs, each on a thing of its own

Make = Callable[[httpx.AsyncClient], Awaitable[str]]
Change = Callable[[str], tuple[str, Any]]


async def animal(client: httpx.AsyncClient) -> str:
    return f"/animals/{(await make(client, '/animals'))['id']}"


async def test_of_two_changes_at_once_one_succeeds_and_the_other_gets_412(
    committing_client: httpx.AsyncClient, record_property: Callable[[str, object], None]
) -> None:
    def change(value: str) -> tuple[str, Any]:
        return "PATCH", {"description": value}

    record_property("measured", await race_for_changes(committing_client, animal, change))


async def race_for_changes(committing_client: httpx.AsyncClient, make_one: Make, change: Change) -> str:
    """That of two changes at once, one succeeds and the other gets 412; what was measured."""
    answers: list[int] = []

    async def race(path: str, number: int) -> None:
        seen = {"If-Match": (await committing_client.get(path)).headers["ETag"]}
        requests = {f"{number} {who}": change(f"{number} {who}") for who in ("one", "another")}
        pair = await asyncio.gather(
            *(
                committing_client.request(method, path, json=body, headers=seen | bearer(who))
                for (method, body), who in zip(requests.values(), ("keeper", "admin"), strict=True)
            )
        )
        statuses = [answer.status_code for answer in pair]
        assert sorted(statuses) == [200, 412]
        answers.extend(statuses)
        now = await committing_client.get(path)
        winner = pair[statuses.index(200)]
        assert (now.json(), now.headers["ETag"]) == (winner.json(), winner.headers["ETag"])
        assert list(requests)[statuses.index(200)] in now.text

    async def race_on_one_thing() -> None:
        path = await make_one(committing_client)
        for number in range(PAIRS // AT_ONCE):
            await race(path, number)

    await asyncio.gather(*(race_on_one_thing() for _ in range(AT_ONCE)))
    assert len(answers) == 2 * PAIRS
    return f"{PAIRS} pairs, {answers.count(412)} were told, no update was lost"
