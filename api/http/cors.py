"""CORS: the pages of other origins that may use the api from a browser (https://fetch.spec.whatwg.org/#http-cors-protocol).

Starlette's CORSMiddleware does the same for a tenth of what a read costs; docs/decisions says why it is not used.
"""

from collections.abc import Iterable, Mapping

Headers = tuple[tuple[bytes, bytes], ...]

ORIGIN = b"origin"
ASKED_METHOD = b"access-control-request-method"
KEPT_SECONDS = 600  # what a browser keeps of a preflight's answer

VARY = (b"vary", b"Origin")
EXPOSED = b"ETag, Link, Location, Retry-After, X-Request-ID"
# What routes take, besides what every page may send.
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
TAKEN = b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID"
PREFLIGHT = {
    "Access-Control-Allow-Methods": METHODS.decode(),
    "Access-Control-Allow-Headers": TAKEN.decode(),
    "Access-Control-Max-Age": str(KEPT_SECONDS),
}


class Cors:
    """Pages of these origins may read every answer, errors included, and send the cookie; require_same_origin lets
    them. For all others it is as if there were no CORS.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._by_origin: dict[bytes | None, Headers] = {
            origin.encode(): (
                VARY,
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", EXPOSED),
            )
            for origin in origins
        }

    def headers(self, asked: Mapping[bytes, bytes]) -> Headers:
        """What the answer to a request with these headers has."""
        return self._by_origin.get(asked.get(ORIGIN), (VARY,))

    def is_preflight(self, method: str, asked: Mapping[bytes, bytes]) -> bool:
        """Whether a browser asks what such a page may send; what it may is in PREFLIGHT."""
        return method == "OPTIONS" and ASKED_METHOD in asked and asked.get(ORIGIN) in self._by_origin
