"""Staff: personal data, which keepers read and admins change."""

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from tests.api.records import make
from tests.api.test_imports import load, refused
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


@pytest.mark.parametrize(
    "email", ["", "x", "a@b", "a@@zoo.example", "a b@zoo.example", "A <a@zoo.example>", "a@zoo.example\x00", "a" * 400]
)
async def test_an_invalid_address(client: httpx.AsyncClient, email: str) -> None:
    answer = await client.post("/staff", json={"name": "A", "email": email})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "email"])


@pytest.mark.parametrize("email", ["ngozi@localhost", "ngozi@zoo.local"])
async def test_on_a_developers_machine_an_address_may_be_of_it(client: httpx.AsyncClient, email: str) -> None:
    assert (await client.post("/staff", json={"name": "A", "email": email})).status_code == 201


async def test_a_wrong_address_in_a_file_is_told_by_line(session: AsyncSession) -> None:
    found = await refused(session, "staff", "name,email\nA,a@zoo.example\nB,b\n")
    assert [finding.partition(": ")[0] for finding in found] == ["line 3, email"]


@pytest.mark.parametrize("header", ["Job Title;NAME;E-Mail", "job-title;name;email"])
async def test_a_header_is_known_in_any_case(session: AsyncSession, header: str) -> None:
    file = f"{header}\nKeeper;Ngozi;ngozi@zoo.example\n"
    if "E-Mail" in header:
        assert "unknown field 'e_mail'" in (await refused(session, "staff", file))[0]
    else:
        assert await load(session, "staff", file) == 1
