"""Two users change the same order at the same moment, each with the tag that they have seen: no update is lost."""

from collections.abc import Callable
from typing import Any

import httpx

from tests.api.orders.ordering import TEA, order
from tests.faults.test_lost_updates import race_for_changes


async def test_of_two_changes_at_once_one_succeeds_and_the_other_gets_412(
    committing_client: httpx.AsyncClient, record_property: Callable[[str, object], None]
) -> None:
    def change(value: str) -> tuple[str, Any]:
        return "PUT", {"order": [TEA | {"product": value}]}

    record_property("measured", await race_for_changes(committing_client, order, change))
