"""URLs in answers about orders, below a path prefix."""

from collections.abc import Callable

import pytest

from tests.api.orders.ordering import TEA
from tests.api.test_path_prefix import BELOW, app_below, below, path_of
from tests.conftest import Served

__all__ = ["app_below", "below", "path_of"]  # fixtures


@pytest.mark.parametrize(("prefix", "headers"), [("/zoo", {}), ("/parks/zoo", BELOW)], ids=["set", "by the proxy"])
async def test_they_begin_with_it(
    below: Served, app: Served, path_of: Callable[[str, str], str], prefix: str, headers: dict[str, str]
) -> None:
    client = (app if headers else below).client("visitor")
    client.headers.update(headers)
    page = await client.get(path_of(prefix, "/docs/orders"))
    assert f"'{prefix}/openapi/orders.json'" in page.text
    document = await client.get(path_of(prefix, "/openapi/orders.json"))
    assert document.json()["servers"] == [{"url": prefix}]
    ordered = await client.post(path_of(prefix, "/orders"), json={"order": [TEA]})
    assert ordered.headers["Location"].startswith(f"{prefix}/orders/")
