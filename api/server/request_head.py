"""The head of a request: where it ends, how large it may be, and what must not be ambiguous in it."""

import re
from http import HTTPStatus

from httptools import HttpParserError

MAX_HEAD_BYTES = 32 * 1024
MAX_REQUEST_LINE_BYTES = 8 * 1024  # what RFC 9112, section 3, asks a server to support
MAX_FIELDS = 100

END = b"\r\n\r\n"

Fields = list[tuple[bytes, bytes]]

_UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE)
_is_host = re.compile(rb"[^\x00-\x20\x7f-\xff/?#@\\]*").fullmatch


class Refused(Exception):
    """The server itself answers a request, because it can't be read, or must not be."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


URI_TOO_LONG = Refused(
    HTTPStatus.REQUEST_URI_TOO_LONG, f"The URL is longer than {MAX_REQUEST_LINE_BYTES} bytes: send less in it"
)
HEAD_TOO_LARGE = Refused(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"The headers are over {MAX_HEAD_BYTES} bytes, or more than {MAX_FIELDS}: send fewer of them",
)

UNKNOWN_CODING = Refused(HTTPStatus.NOT_IMPLEMENTED, "The only transfer coding known here is chunked")


def find_end(data: bytes, start: int) -> int | None:
    """Where the head that begins at `start` ends; None if it is not complete yet. Refused if it is too large."""
    found = data.find(END, start)
    end = len(data) if found < 0 else found + len(END)
    if end - start > MAX_REQUEST_LINE_BYTES:
        if data.find(b"\r\n", start, start + MAX_REQUEST_LINE_BYTES) < 0:
            raise URI_TOO_LONG
        if end - start > MAX_HEAD_BYTES:
            raise HEAD_TOO_LARGE
    return None if found < 0 else end


def check(fields: Fields, http_version: str) -> int | None:
    """How many bytes the body has; None if it is chunked. Refused if two servers may read the head in different ways.

    It refuses what RFC 9112 tells a server to refuse, and the parser accepts.
    """
    if len(fields) > MAX_FIELDS:
        raise HEAD_TOO_LARGE
    if http_version not in {"1.1", "1.0"}:
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Send the request as HTTP/1.1")
    hosts = 0
    length: int | None = 0
    for name, value in fields:
        if name == b"host":
            hosts += 1 if _is_host(value) else 2
        elif name == b"content-length":
            length = int(value)  # the parser accepts one such field, of digits, with no coding beside it
        elif name == b"transfer-encoding":
            _check_coding(value, http_version)
            length = None
    if hosts != 1 and (hosts or http_version == "1.1"):
        raise Refused(HTTPStatus.BAD_REQUEST, "Send one Host header: the name of this server")
    return length


def _check_coding(coding: bytes, http_version: str) -> None:
    if coding.strip().lower() != b"chunked":
        raise UNKNOWN_CODING
    if http_version == "1.0":
        raise Refused(HTTPStatus.BAD_REQUEST, "Send Content-Length: HTTP/1.0 has no Transfer-Encoding")


def explain(error: HttpParserError, fields: Fields) -> Refused:
    """The answer if the parser has failed, after these fields of the head."""
    if any(name == b"transfer-encoding" and value.strip().lower() != b"chunked" for name, value in fields or ()):
        return UNKNOWN_CODING
    return Refused(HTTPStatus.BAD_REQUEST, f"This is not HTTP/1.1: {error}")


def without_upgrade(head: bytes) -> bytes:
    """`head` as if it did not ask for another protocol: a server may ignore that (RFC 9110, section 7.8)."""
    return _UPGRADE.sub(b"", head)


def describe(head: bytes) -> tuple[str, str]:
    """The method and path, as far as they are known, of a head that can't be read: for the log."""
    line = head[:MAX_REQUEST_LINE_BYTES].partition(b"\r\n")[0].decode("ascii", "backslashreplace")
    method, _, target = line.partition(" ")
    is_method = method.isalpha() and method.isupper()
    return method if is_method else "-", target.partition(" ")[0].partition("?")[0] if is_method else "-"
