"""What every answer has, whatever gives it: headers for browsers, a tag, and, where it is worth it, compression.

One middleware: each of these by itself would hold the answer back, and look through its headers and the request's.
"""

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.compression import Gzip, accepts_gzip, is_worth_it
from api.http.etags import gzipped, has_seen, header, tag_of

# In the scope of a request.
PERSONAL = "zoo.personal"
SECRET = "zoo.secret"  # noqa: S105 - a name

CSP, CACHE_CONTROL, ETAG, LENGTH = b"content-security-policy", b"cache-control", b"etag", b"content-length"
FOR_BROWSERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
NO_PAGE = (CSP, b"default-src 'none'; frame-ancestors 'none'")
NO_STORE = (CACHE_CONTROL, b"no-store")
VARY = (b"vary", b"Accept-Encoding")

OK, CREATED, NOT_MODIFIED = 200, 201, 304
OF_THE_BODY = {LENGTH, b"content-type", b"content-encoding"}


def mark_personal(request: Request) -> None:
    """The answer depends on who asks: nobody keeps a copy."""
    request.scope[PERSONAL] = True


def mark_secret(request: Request) -> None:
    """The answer may have a secret in it: nobody keeps a copy, it has no tag, and it is not compressed, because the
    length of what is compressed tells of what is in it (BREACH).
    """
    request.scope[SECRET] = True


class Answers:
    """Pure ASGI middleware, outside of the one that answers 500: completes every answer.

    A HEAD is a GET whose body is not sent.
    """

    def __init__(self, app: ASGIApp, *, gzip: bool) -> None:
        self.app = app
        self.gzip = gzip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_head = scope["method"] == "HEAD"
        if is_head:
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, _Answer(scope, send, may_be_gzip=self.gzip, is_head=is_head).send)


class _Answer:
    """An answer on its way out: its head is held back until its body, or the first part of that, is there."""

    __slots__ = ("gzip", "has_body", "may_be_gzip", "scope", "send_on", "start")

    def __init__(self, scope: Scope, send: Send, *, may_be_gzip: bool, is_head: bool) -> None:
        self.scope = scope
        self.send_on = send
        self.may_be_gzip = may_be_gzip
        self.has_body = not is_head
        self.start: Message | None = None
        self.gzip: Gzip | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        if message["type"] == "http.response.body":
            start, self.start = self.start, None
            is_last = not message.get("more_body", False)
            if start is not None:
                self._complete(start, message.get("body", b""), is_whole=is_last)
            if self.gzip is not None:
                message["body"] = await self.gzip.compress(message.get("body", b""), is_last=is_last)
                if start is not None and is_last:
                    start["headers"].append((LENGTH, b"%d" % len(message["body"])))
            if start is not None:
                await self.send_on(start)
            if not self.has_body:
                message["body"] = b""
        await self.send_on(message)

    def _complete(self, start: Message, body: bytes, *, is_whole: bool) -> None:
        """Give the answer that begins with these the headers that it lacks, and choose the form that it is sent in."""
        scope, status, own = self.scope, start["status"], dict(start["headers"])
        headers = start["headers"] = [*start["headers"], *FOR_BROWSERS]
        if CSP not in own:
            headers.append(NO_PAGE)
        if SECRET in scope:
            headers.append(NO_STORE)
            return
        if PERSONAL in scope:
            headers.append(NO_STORE)
        tag = own.get(ETAG)
        if tag is None and is_whole and status in {OK, CREATED} and scope["method"] != "DELETE":
            tag = tag_of(body, own.get(b"link", b""))
            headers.append((ETAG, tag))
        if self.may_be_gzip and is_worth_it(own, status, len(body)):
            headers.append(VARY)
            if accepts_gzip(header(scope, b"accept-encoding")):
                self.gzip = Gzip()
                tag = gzipped(tag) if tag else None
                headers = start["headers"] = [pair for pair in headers if pair[0] not in {LENGTH, ETAG}]
                headers.append((b"content-encoding", b"gzip"))
                if tag:
                    headers.append((ETAG, tag))
        if tag and status == OK and scope["method"] == "GET" and has_seen(header(scope, b"if-none-match"), tag):
            start["status"] = NOT_MODIFIED
            start["headers"] = [pair for pair in headers if pair[0] not in OF_THE_BODY]
            self.has_body, self.gzip = False, None
