"""What external services with HTTP have in common: time-outs, TLS, retries."""

import ssl
from functools import cache

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from api.traces import passed_on

ATTEMPTS = 3
BACKOFF = wait_exponential_jitter(multiplier=0.1, jitter=0.2, max=1)
TIMEOUT = httpx.Timeout(5, connect=2)
# Of a call with all its attempts.
MAX_SECONDS = 8

# Refusals that say nothing about the request itself: the same one may succeed later.
NOT_FOR_GOOD = {408, 425, 429}


async def _pass_on(request: httpx.Request) -> None:
    request.headers.update(passed_on())


PASS_ON = {"request": [_pass_on]}
"""Tells a service which trace its requests belong to."""


def tls(url: str) -> ssl.SSLContext:
    """Whom to trust at `url`: those whose certificates the system trusts, or nobody if it needs no TLS."""
    return _trusted() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _trusted() -> ssl.SSLContext:
    """The trusted certificates; loaded once, because that takes a while."""
    return httpx.create_ssl_context(trust_env=False)


class TryAgainError(Exception):
    """The service answered that it has failed, or is too busy."""


def tries() -> AsyncRetrying:
    """Calls what is given to it, and again after an error of the connection or of the server."""
    again = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout, TryAgainError)
    return AsyncRetrying(
        retry=retry_if_exception_type(again), stop=stop_after_attempt(ATTEMPTS), wait=BACKOFF, reraise=True
    )
