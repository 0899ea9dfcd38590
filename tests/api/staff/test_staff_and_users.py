"""Staff: personal data, which keepers read and admins change."""

import httpx

from tests.api.records import make
from tests.conftest import Served


async def test_keepers_may_read_but_not_change_it(app: Served, client: httpx.AsyncClient) -> None:
    record = await make(client, "/staff")
    for who, read, change in (("visitor", 403, 403), ("keeper", 200, 403), ("admin", 200, 200)):
        asking = app.client(who)
        assert (await asking.get("/staff")).status_code == read
        assert (await asking.get(f"/exhibits/{(await make(client, '/exhibits'))['id']}/staff")).status_code == read
        assert (await asking.patch(f"/staff/{record['id']}", json={"phone": who})).status_code == change


async def test_no_cache_keeps_it(client: httpx.AsyncClient) -> None:
    assert (await client.get("/staff")).headers["Cache-Control"] == "no-store"
