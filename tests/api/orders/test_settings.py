"""The addresses of the payments service and of the kitchen."""

import pytest
from pydantic import ValidationError

from api.settings import Settings
from tests.each import each


@each("url", ["x", "ftp://pay", "http://", "http://pay:x", "http://a:b@pay", "http://pay?x=1"])
def test_a_service_url_that_is_not_http_is_refused(url: str) -> None:
    for name in ("payments_url", "kitchen_url"):
        with pytest.raises(ValidationError, match=r"write http://HOST:PORT"):
            Settings.model_validate({name: url})


def test_a_service_may_be_below_a_path() -> None:
    assert Settings(payments_url="https://pay.example:8443/v1/").payments_url == "https://pay.example:8443/v1"
