"""A request's id, and its line in the log."""

import logging
import re

from starlette.types import Send
from uuid_utils import uuid7

from api.log import RequestRecord

HEADER = b"x-request-id"
PROBES = {"/health", "/health/db", "/health/ready"}
CLIENT_CLOSED_REQUEST = 499  # nginx's: the client had gone before there was an answer
MAX_PATH = 200

requests = logging.getLogger("api.requests")

# What proxies send, such as UUIDs, ULIDs and traceparents; and nothing that could break a line, or a header.
_is_well_formed = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


def id_of(sent: bytes | None) -> str:
    """The id of a request that has sent this one, or none."""
    return str(sent, "ascii") if sent is not None and _is_well_formed(sent) else str(uuid7())


def write_line(method: str, path: str, status: int, seconds: float, size: int) -> None:
    """Write the line of a request that has been answered, unless it was a probe that has found all well."""
    if status >= 400 or path not in PROBES:  # noqa: PLR2004
        requests.handle(RequestRecord(method, _loggable(path), status, seconds, size))


def is_gone(send: Send) -> bool:
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
