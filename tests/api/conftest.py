"""What tests of the services outside share."""

import pytest
from tenacity import wait_none

from api.external_services import http


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service is asked again at once."""
    monkeypatch.setattr(http, "BACKOFF", wait_none())
