"""A request's id, and its line in the log."""

import logging
import re
from time import perf_counter

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from api.log import REQUEST_ID, RequestRecord

HEADER = b"x-request-id"
PROBES = {"/health", "/health/db", "/health/ready"}
CLIENT_CLOSED_REQUEST = 499  # nginx's: the client had gone before there was an answer
MAX_PATH = 200

log = structlog.get_logger(__name__)
requests = logging.getLogger("api.requests")

# What proxies send, such as UUIDs, ULIDs and traceparents; and nothing that could break a line, or a header.
_is_well_formed = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


class RequestLog:
    """Pure ASGI middleware, outside of all that answers: whatever does, the request has an id, and one line in the log.

    The id is the client's own, where it sends one in X-Request-ID; the answer carries it, and every line that is logged
    meanwhile. An error that nobody has handled is logged here, and ends here: it was answered with 500 further in.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        request_id = _request_id(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        REQUEST_ID.set(request_id)  # and not reset: the server gives each request a context of its own
        status, size = 500, 0  # the server's own answer, where there is no other

        async def send_with_id(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id.encode())]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = CLIENT_CLOSED_REQUEST
        except Exception as error:
            status = 500
            log.error("unexpected error", exc_info=error)  # noqa: TRY400 - the traceback is known by the error
        finally:
            if _is_gone(send):
                status = CLIENT_CLOSED_REQUEST
            if (status >= 400 or path not in PROBES) and requests.isEnabledFor(logging.INFO):  # noqa: PLR2004
                seconds = perf_counter() - started
                requests.handle(RequestRecord(scope["method"], _loggable(path), status, seconds, size))


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == HEADER:
            if _is_well_formed(value):
                return str(value, "ascii")
            break
    return str(uuid7())


def _is_gone(send: Send) -> bool:
    """Whether the client has gone before the end of the answer.

    The protocol, ASGI 2.3, has a server ignore what is sent to such a client. uvicorn's `send` belongs to an object
    that knows.
    """
    return getattr(getattr(send, "__self__", None), "disconnected", False)


def _loggable(path: str) -> str:
    """`path` on one line, not too long, and without addresses: there is none in any route, but a client may err."""
    if "@" in path:
        path = "/".join("(address)" if "@" in part else part for part in path.split("/"))
    path = path[:MAX_PATH]
    return path if path.isprintable() else path.encode("unicode_escape").decode()
