"""A proxy to S3 that has faults, and that says when a request is about to be passed on, and when it was."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from urllib.parse import urlsplit

HEAD_END = b"\r\n\r\n"
ERROR = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>No</Message></Error>"


class Fault(Enum):
    AWAY = auto()
    SLOW = auto()
    FAILING = auto()
    REFUSING = auto()
    CUT_OFF = auto()
    WRONG = auto()


ANSWERS = {
    Fault.FAILING: (b"503 Slow Down", ERROR),
    Fault.REFUSING: (b"403 Forbidden", ERROR),
    Fault.WRONG: (b"200 OK", b"<html>Welcome to the captive portal</html>"),
}

Watch = Callable[[str, str], Awaitable[None]]
"""Is told `before` or `after`, and the request's method and key."""


class S3Proxy:
    """Passes requests on to the server at `target`, one by one. `fault` is what it does instead."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.url = ""
        self.fault: Fault | None = None
        self.watch: Watch | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault is Fault.AWAY:
            return
        head = await reader.readuntil(HEAD_END)
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
        if self.fault is Fault.SLOW:
            await reader.read()  # until the client gives up
            return
        if self.fault in ANSWERS:
            status, content = ANSWERS[self.fault]
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(content)))
            writer.write(b"" if head.startswith(b"HEAD") else content)
            await writer.drain()
            return
        method, path = head.split(b" ", 2)[:2]
        request = f"{method.decode()} {path.decode()}"
        if self.watch:
            await self.watch("before", request)
        answer = await self._pass_on(head[: -len(HEAD_END)] + b"\r\nConnection: close" + HEAD_END + body)
        if self.watch:
            await self.watch("after", request)
        writer.write(answer[: len(answer) // 2] if self.fault is Fault.CUT_OFF else answer)
        await writer.drain()

    async def _pass_on(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self.target.hostname, self.target.port)
        writer.write(request)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def proxying_s3(target: str) -> AsyncIterator[S3Proxy]:
    proxy = S3Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1")
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
