"""What tests of the api share: its event loop, and services outside that are asked again at once."""

import asyncio

import pytest
import uvloop
from tenacity import wait_none

from api.external_services import http


def pytest_configure() -> None:
    """With the event loop of the api's workers, which takes less of each request than Python's own."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service is asked again at once."""
    monkeypatch.setattr(http, "BACKOFF", wait_none())
