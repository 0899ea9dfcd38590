"""CORS: the pages of other origins that may use the api from a browser (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from api.http.error_handlers import ErrorResponse

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
# What routes take besides what every page may send.
TAKEN = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID"]
# What a page's script may look at besides what it always may.
EXPOSED = ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]


class Cors(CORSMiddleware):
    """Starlette's, outside of the one that answers 500: pages of these origins may read every answer, errors included.

    They may send the cookie, too; require_same_origin lets them.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=TAKEN,
            allow_credentials=True,
            expose_headers=EXPOSED,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Starlette's, its refusal in the form of every other error."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:  # noqa: PLR2004
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return ErrorResponse({"detail": bytes(response.body).decode()}, response.status_code, headers)
