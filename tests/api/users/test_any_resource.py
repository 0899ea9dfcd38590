"""Who may read a resource of whatever kind."""

import httpx

from tests.api.test_any_resource import MOVE, engine, moves

__all__ = ["engine", "moves"]  # fixtures


async def test_who_may_not_read_the_parent_may_not_read_its_list(moves: httpx.AsyncClient) -> None:
    made = (await moves.post("/moves", json=MOVE)).json()["id"]
    for path, status in (("/Group", 200), (f"/moves/{made}", 401), (f"/moves/{made}/Group", 401)):
        answer = await moves.get(path, headers={"Authorization": ""})
        assert answer.status_code == status, path
