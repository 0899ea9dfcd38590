"""The cookie, below a path prefix."""

from collections.abc import Callable

import pytest

from tests.api.test_path_prefix import BELOW, app_below, below, path_of
from tests.bearer import bearer
from tests.conftest import Served
from tests.users import PASSWORD, email_of

__all__ = ["app_below", "below", "path_of"]  # fixtures


@pytest.mark.parametrize(("prefix", "headers"), [("/zoo", {}), ("/parks/zoo", BELOW)], ids=["set", "by the proxy"])
async def test_its_path_is_the_prefix(
    below: Served, app: Served, path_of: Callable[[str, str], str], prefix: str, headers: dict[str, str]
) -> None:
    client = (app if headers else below).client()
    form = {"username": email_of("keeper"), "password": PASSWORD}
    answer = await client.post(path_of(prefix, "/auth/cookie/login"), data=form, headers=headers)
    assert f"Path={prefix};" in answer.headers["Set-Cookie"] + ";"


async def test_signing_out_removes_the_cookie_at_its_path(below: Served) -> None:
    client = below.client()
    form = {"username": email_of("keeper"), "password": PASSWORD}
    await client.post("/zoo/auth/cookie/login", data=form)
    assert (await client.get("/zoo/users/me")).status_code == 200
    gone = await client.post("/zoo/auth/cookie/logout")
    assert "Path=/zoo;" in gone.headers["Set-Cookie"]
    assert (await client.get("/zoo/users/me")).status_code == 401
    assert (await client.get("/zoo/users/me", headers=bearer("keeper"))).status_code == 200
