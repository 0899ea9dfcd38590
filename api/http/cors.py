"""CORS: the pages of other origins that may use the api from a browser (https://fetch.spec.whatwg.org/#http-cors-protocol).

Not by Starlette's CORSMiddleware, which does the same, but adds a tenth to the cost of a read.
"""

from collections.abc import Iterable, Mapping

Headers = tuple[tuple[bytes, bytes], ...]

ORIGIN = b"origin"
ASKED_METHOD = b"access-control-request-method"
KEPT_SECONDS = 600  # how long a browser keeps a preflight's answer

VARY = (b"vary", b"Origin")
EXPOSED = (
    b"ETag, Link, Location, Retry-After, X-Request-ID, X-Stale-Seconds, X-Total-Count, X-Total-Count-Is, X-Trace-ID"
)
# What routes accept, besides what every page may send.
METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
TAKEN = b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-ID"
PREFLIGHT = {
    "Access-Control-Allow-Methods": METHODS.decode(),
    "Access-Control-Allow-Headers": TAKEN.decode(),
    "Access-Control-Max-Age": str(KEPT_SECONDS),
}


class Cors:
    """Pages of these origins may read every answer, errors included, and send cookies. For all other pages it is as
    if there were no CORS.
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
        """The headers of the answer to a request with these headers."""
        return self._by_origin.get(asked.get(ORIGIN), (VARY,))

    def is_preflight(self, method: str, asked: Mapping[bytes, bytes]) -> bool:
        """Whether a browser asks what a page of these origins may send; PREFLIGHT is the answer."""
        return method == "OPTIONS" and ASKED_METHOD in asked and asked.get(ORIGIN) in self._by_origin
