"""A request's id, and its line in the log."""

import logging
import re

from starlette.types import Send
from uuid_utils import uuid7

from api.log import RequestRecord

HEADER = b"x-request-id"
TRACE_HEADER = b"x-trace-id"
PROBES = {"/health", "/health/db", "/health/ready"}
CLIENT_CLOSED_REQUEST = 499  # nginx's status: the client disconnected before it had an answer
MAX_PATH = 200

requests = logging.getLogger("api.requests")

# What proxies send, such as UUIDs, ULIDs and traceparents, but nothing that could break a line or a header.
_is_well_formed = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


def id_of(sent: bytes | None) -> str:
    """The id of a request: the one that it has sent, if that is well-formed, otherwise a new one."""
    return str(sent, "ascii") if sent is not None and _is_well_formed(sent) else str(uuid7())


def write_line(method: str, path: str, status: int, seconds: float, size: int) -> None:
    """Log a request that has been answered, unless it was a successful probe."""
    if status >= 400 or path not in PROBES:  # noqa: PLR2004
        requests.handle(RequestRecord(method, _loggable(path), status, seconds, size))


def is_gone(send: Send) -> bool:
    """Whether the client disconnected before the end of the answer.

    A server of ASGI 2.3 silently drops what is sent to such a client, but uvicorn's `send` is a method of an object
    that knows.
    """
    return getattr(getattr(send, "__self__", None), "disconnected", False)


def _loggable(path: str) -> str:
    """`path` on one line, not too long, and without mail addresses: no route has any, but clients make mistakes."""
    if "@" in path:
        path = "/".join("(address)" if "@" in part else part for part in path.split("/"))
    path = path[:MAX_PATH]
    return path if path.isprintable() else path.encode("unicode_escape").decode()
