"""What every answer gets, wherever it comes from: headers for browsers, an ETag and, if it is worth it, compression."""

import math
from collections.abc import Mapping

from fastapi import Request, Response
from starlette.types import Message, Scope, Send

from api.http.compression import LEAST_BYTES, Gzip, accepts_gzip, can_be_compressed
from api.http.etags import gzipped, has_seen, header, tag_of

Headers = tuple[tuple[bytes, bytes], ...]

CSP, ETAG, LENGTH = b"content-security-policy", b"etag", b"content-length"
IF_NONE_MATCH = b"if-none-match"
FOR_PAGES: Headers = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
FOR_ALL: Headers = (*FOR_PAGES, (CSP, b"default-src 'none'; frame-ancestors 'none'"))
NO_STORE = (b"cache-control", b"no-store")
VARY = (b"vary", b"Accept-Encoding")
GZIP = (b"content-encoding", b"gzip")

OK, NOT_MODIFIED = 200, 304
TAGGED = {OK, 201}
OF_THE_BODY = {LENGTH, b"content-type", b"content-encoding"}

# In the scope of a request: how its answer must be protected.
CARE = "zoo.care"
PERSONAL = "personal"
SECRET = "secret"  # noqa: S105 - it is none
STALE = "X-Stale-Seconds"


def mark_personal(request: Request) -> None:
    """The answer depends on the user: no copy of it may be stored."""
    request.scope.setdefault(CARE, PERSONAL)


def mark_secret(request: Request) -> None:
    """The answer may contain a secret: no copy of it may be stored, it has no tag, and it is not compressed, because
    its compressed length would reveal something about the secret (BREACH).
    """
    request.scope[CARE] = SECRET


def mark_stale(response: Response, seconds: float) -> None:
    """The answer may be `seconds` old: the primary is away."""
    response.headers[STALE] = str(math.ceil(seconds))


class Answer:
    """An answer while it is sent: its head is held back until its body, or the first part of that, is there.

    `asked` are the request's headers, `always` headers that its answer gets in any case.
    """

    __slots__ = (
        "_gzip",
        "_start",
        "always",
        "asked",
        "is_begun",
        "is_head",
        "may_be_gzip",
        "scope",
        "send_on",
        "size",
        "status",
    )

    def __init__(  # noqa: PLR0913 - made in one place, for each request
        self,
        scope: Scope,
        asked: Mapping[bytes, bytes],
        always: list[tuple[bytes, bytes]],
        send: Send,
        *,
        may_be_gzip: bool,
        is_head: bool,
    ) -> None:
        self.scope = scope
        self.asked = asked
        self.always = always
        self.send_on = send
        self.may_be_gzip = may_be_gzip
        self.is_head = is_head
        self.is_begun = False
        self.status = 500  # the server's own answer, if there is no other
        self.size = 0
        self._start: Message | None = None
        self._gzip: Gzip | None = None

    async def send(self, message: Message) -> None:
        """Send on what the app sends."""
        if message["type"] == "http.response.start":
            self._start = message
            self.status = message["status"]
            return
        start, self._start = self._start, None
        body = message.get("body", b"")
        is_last = not message.get("more_body", False)
        if start is not None:
            self._complete(start, body, is_last)
        if self._gzip is not None:
            message["body"] = body = await self._gzip.part(body, is_last=is_last)
            if start is not None and is_last:
                start["headers"].append((LENGTH, b"%d" % len(body)))
        if self.is_head or self.status == NOT_MODIFIED:
            message["body"] = body = b""
        self.size += len(body)
        if start is not None:
            self.is_begun = True
            await self.send_on(start)
        await self.send_on(message)

    def _complete(self, start: Message, body: bytes, is_whole: bool) -> None:
        """Add the headers that are missing, and choose how the answer is sent: in full, compressed, or as a 304."""
        scope, status = self.scope, self.status
        own: dict[bytes, bytes] = dict(start["headers"])
        start["headers"] = headers = [*start["headers"], *(FOR_PAGES if CSP in own else FOR_ALL), *self.always]
        if (care := scope.get(CARE)) is not None:
            headers.append(NO_STORE)
            if care is SECRET:
                return
        tag = own.get(ETAG)
        if tag is None and is_whole and status in TAGGED and scope["method"] != "DELETE":
            tag = tag_of(body, own.get(b"link", b""))
            headers.append((ETAG, tag))
        if self.may_be_gzip and (len(body) >= LEAST_BYTES or not is_whole) and can_be_compressed(own, status):
            tag = self._choose_coding(start, tag)
        if IF_NONE_MATCH in self.asked and tag is not None and status == OK and scope["method"] == "GET":
            self._leave_out_what_is_known(start, tag)

    def _choose_coding(self, start: Message, tag: bytes | None) -> bytes | None:
        """Compress the answer if the client accepts that; it then has another tag, which is returned."""
        headers = start["headers"]
        headers.append(VARY)
        if not accepts_gzip(self.asked.get(b"accept-encoding", b"")):
            return tag
        self._gzip = Gzip()
        start["headers"] = headers = [pair for pair in headers if pair[0] not in {ETAG, LENGTH}]
        headers.append(GZIP)
        if tag is None:
            return None
        tag = gzipped(tag)
        headers.append((ETAG, tag))
        return tag

    def _leave_out_what_is_known(self, start: Message, tag: bytes) -> None:
        if has_seen(header(self.scope, IF_NONE_MATCH), tag):
            self._gzip = None
            self.status = start["status"] = NOT_MODIFIED
            start["headers"] = [pair for pair in start["headers"] if pair[0] not in OF_THE_BODY]
