"""What tests of the services outside share."""

from collections.abc import AsyncIterator

import pytest
from tenacity import wait_none

from api.external_services import http
from tests.api.outside import Outside, serving


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service is asked again at once."""
    monkeypatch.setattr(http, "BACKOFF", wait_none())


@pytest.fixture
async def payments() -> AsyncIterator[Outside]:
    async with serving() as outside:
        yield outside


@pytest.fixture
async def kitchen() -> AsyncIterator[Outside]:
    async with serving() as outside:
        yield outside
