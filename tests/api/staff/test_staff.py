"""Staff: addresses, and a resource whose noun has two words."""

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from tests.api.test_imports import load, refused
from tests.each import each


@each(
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
