"""HTTP/1.1 by uvicorn and llhttp, with one request per connection at a time, limits on sizes, and time-outs.

uvicorn parses all that has arrived, however much, before it answers the first request; it drops the body of a request
that asks for another protocol, treats trailers as headers, and waits for a slow client without end. Here the parser
gets a head once it is complete and its size is known, then the body, and the next request after the answer. The parser
still decides what is valid HTTP; the code here only finds where a request ends.
"""

from asyncio import Event, TimerHandle, Transport
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.http.error_handlers import ErrorResponse
from api.http.exchange import Exchange
from api.http.proxies import PEER
from api.server.lingering import LingeringTransport
from api.server.request_head import (
    END,
    HEAD_TOO_LARGE,
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    Refused,
    check,
    describe,
    explain,
    find_end,
    without_upgrade,
)
from api.settings import Settings, load_settings

MAPPED = "::ffff:"  # the prefix of an IPv4 address on a socket for both IPv6 and IPv4


WITHOUT_BODY = {204, 304}

_settings = cache(load_settings)


class Cycle(RequestResponseCycle):
    """uvicorn's cycle, in which the body may turn out to be invalid."""

    refused: Refused | None = None

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer: uvicorn's way, except for the head, of which uvicorn checks header by header."""
        if message["type"] != "http.response.start" or self.response_started or self.disconnected:
            await super().send(message)
            return
        headers = [*self.default_headers, *message.get("headers", ())]
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        if lines.count(b"\r") != len(headers) or lines.count(b"\n") != len(headers) or b"\0" in lines:
            raise RuntimeError("A header of the answer has a line break or NUL in it")
        if self.flow.write_paused:
            await self.flow.drain()
        self.response_started, self.waiting_for_100_continue = True, False
        status, length = message["status"], dict(headers).get(b"content-length")
        if length is not None:
            self.expected_content_length, self.chunked_encoding = int(length), False
        elif self.scope["method"] != "HEAD" and status not in WITHOUT_BODY:
            self.chunked_encoding = True
            lines += b"transfer-encoding: chunked\r\n"
        if not self.keep_alive:
            lines += b"connection: close\r\n"
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n")

    async def receive(self) -> ASGIReceiveEvent:
        """A part of the body; HTTPException if it can't be read."""
        message = await super().receive()
        if self.refused is not None:
            raise HTTPException(self.refused.status, self.refused.detail)
        return message


class HttpProtocol(HttpToolsProtocol):
    """A client's connection; `settings` are by default those of the environment."""

    def __init__(self, *args: Any, settings: Settings | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings or _settings()
        self.client_timeout = self.settings.client_timeout
        self.for_request: TimerHandle | None = None
        self.for_reader: TimerHandle | None = None
        self.answers: LingeringTransport = None  # type: ignore[assignment]  # like uvicorn's transport
        self.received = b""  # from `parsed` on, it is not parsed yet
        self.parsed = self.head_at = 0
        self.is_in_head = self.is_in_body = False  # where the parser is
        self.body_left: int | None = 0  # bytes; None if it is chunked
        self.framing = 0  # bytes of a chunked body that are not content, since its last content
        self.keeps_alive = True
        self.is_ended = False  # nothing more is parsed

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # uvicorn's signature
        """Wait for a request."""
        super().connection_made(transport)
        if self.client is not None and self.client[0].startswith(MAPPED):
            self.client = self.client[0].removeprefix(MAPPED), self.client[1]
        self.answers = LingeringTransport(transport, self._is_all_read)
        self._wait_for_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        super().connection_lost(exc)
        self.answers.connection_lost()
        for timer in (self.for_request, self.for_reader, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()

    # Reading

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request, or of several."""
        self._unset_keepalive_if_required()
        if self.is_ended:
            self.answers.discard(data)
            return
        if self.parsed < len(self.received):
            data = self.received[self.parsed :] + data
        self.received, self.parsed = data, 0
        self._parse()

    def _parse(self) -> None:
        """Parse what has arrived, to the end of the first request that is not answered yet."""
        try:
            while self.parsed < len(self.received) and not self.is_ended:
                if self.is_in_body:
                    is_done = self._parse_body()
                elif self._is_answering():
                    self.flow.pause_reading()  # the rest stays in the socket
                    return
                else:
                    is_done = self._parse_head()
                if not is_done:
                    break
        except Refused as refused:
            self._refuse(refused)
        except httptools.HttpParserError as error:
            self._refuse(explain(error, self.headers))
        if self.for_request is None and (self.is_in_body or not self._is_answering()):
            self.for_request = self.loop.call_later(self.client_timeout, self._give_up_request)

    def _parse_head(self) -> bool:
        """Parse a head, and start to answer the request; False if it is not complete yet."""
        while self.received.startswith(b"\r\n", self.parsed):  # RFC 9112, section 2.2: some clients send too many
            self.parsed += 2
        self.head_at = self.parsed
        self.scope = None  # type: ignore[assignment]  # until the parser begins the next one
        end = find_end(self.received, self.parsed)
        if end is None:
            return False
        head = self.received[self.parsed : end]
        self.parsed = end
        self.is_in_head = self.is_in_body = True
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserUpgrade:  # after which the parser assumes that there is no body
            if self.parser.get_method() == b"CONNECT":
                raise Refused(HTTPStatus.NOT_IMPLEMENTED, "This is not a proxy: CONNECT is not supported") from None
            self.is_in_body = True
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(without_upgrade(head))
        self.is_in_head = False
        self._start_request()
        return True

    def _parse_body(self) -> bool:
        """Parse what has arrived of the body; False if that is nothing."""
        start, end = self.parsed, len(self.received)
        if self.body_left is not None:
            end = min(end, start + self.body_left)
            self.body_left -= end - start
        else:
            end = min(end, start + MAX_HEAD_BYTES)  # in parts, because on_body() begins to count `framing` anew
            found = self.received.find(END, start, end)  # a body can end only there
            end = found + len(END) if found >= 0 else end - self._begun_end(start, end)
        if start == end:
            return False
        self.parsed = end
        self.framing += end - start
        self.parser.feed_data(memoryview(self.received)[start:end])
        if self.body_left is None and (self.framing > MAX_HEAD_BYTES or len(self.headers) > MAX_FIELDS):
            raise HEAD_TOO_LARGE
        return True

    def _begun_end(self, start: int, end: int) -> int:
        """How many of the last bytes may be the beginning of END."""
        return next((size for size in (3, 2, 1) if self.received.endswith(END[:size], start, end)), 0)

    def on_headers_complete(self) -> None:
        """Note what the parser knows only now. The request starts after it has returned."""
        self.keeps_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body."""
        self.framing = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        self.is_in_body = False
        if self.for_request is not None:
            self.for_request.cancel()
            self.for_request = None
        if not self.is_in_head:
            if not self.cycle.response_started:
                self.cycle.keep_alive = self.keeps_alive
            super().on_message_complete()

    def _is_all_read(self) -> bool:
        return self.parsed == len(self.received) and not self.is_in_body

    # Answering

    def _start_request(self) -> None:
        version = self.parser.get_http_version()
        self.body_left = check(self.headers, version)
        self.headers = []  # from now on they are trailers, which must not change what the head has decided
        self.framing = 0
        self.keeps_alive = self.keeps_alive and version != "1.0"
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope[PEER] = self.client  # type: ignore[literal-required]  # uvicorn may put another client there
        url = httptools.parse_url(self.url)
        if url.path is None or not url.path.isascii():
            raise Refused(HTTPStatus.BAD_REQUEST, "The URL has bytes that are not ASCII: write them as %XX")
        path = url.path.decode("ascii")
        self.scope["raw_path"] = url.path
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["query_string"] = url.query or b""
        # An answer before the request is complete is the connection's last one, because the client may or may not send
        # the rest.
        self._start(self.app, keep_alive=self.keeps_alive and not self.is_in_body)
        if not self.is_in_body:
            super().on_message_complete()

    def _start(self, app: ASGIApp, *, keep_alive: bool) -> None:
        self.cycle: Cycle = Cycle(
            scope=self.scope,
            transport=self.answers,  # type: ignore[arg-type]  # it has what a cycle uses
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        self._start_asgi_task(self.cycle, app)  # type: ignore[arg-type]  # Starlette's types, and uvicorn's

    def _refuse(self, refused: Refused) -> None:
        """Answer in place of the app, in its form, and then close the connection."""
        self.is_ended = True
        if self._is_answering():  # it is the body that can't be read
            self.cycle.keep_alive = False  # nothing more is read
            self.cycle.refused = refused
            self.cycle.message_event.set()
            return
        if self.scope is None:  # the parser was not given the head
            self.on_message_begin()
        self.scope["method"], self.scope["path"] = describe(self.received[self.head_at :])
        answer = ErrorResponse({"detail": refused.detail}, refused.status)
        self._start(Exchange(answer, self.settings), keep_alive=False)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def on_response_complete(self) -> None:
        """Go on to the next request; after the last one, wait for the client to read the rest of the answer."""
        self.server_state.total_requests += 1
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.answers.is_closing():
            self.is_ended = True
            if self.for_reader is None:
                self.for_reader = self.loop.call_later(self.client_timeout, self.transport.abort)
        elif self.parsed < len(self.received):
            self._parse()
        else:
            self._wait_for_next()

    # Time-outs

    def _wait_for_next(self) -> None:
        wait = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self.timeout_keep_alive_task = wait

    def timeout_keep_alive_handler(self) -> None:
        """Disconnect a client that sends no next request; what it has not read of an answer is dropped, too."""
        self.transport.abort()

    def _give_up_request(self) -> None:
        self.for_request = None
        if not self.flow.read_paused:
            self.transport.abort()
        else:  # the api itself does not read yet
            self.for_request = self.loop.call_later(self.client_timeout, self._give_up_request)

    def pause_writing(self) -> None:
        """Wait for the client to read what was sent."""
        super().pause_writing()
        self.for_reader = self.loop.call_later(self.client_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop waiting: the client has read most of it. Of the last answer, it has to read the rest, too."""
        super().resume_writing()
        if self.for_reader is not None and not self.answers.is_closing():
            self.for_reader.cancel()
            self.for_reader = None
