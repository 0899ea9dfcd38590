"""A proxy before the storage that can be told to misbehave."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Watch = Callable[[str, str], Awaitable[None]]


def reset(writer: asyncio.StreamWriter) -> None:
    """Make closing the connection reset it, in place of ending it."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass
class StorageProxy:
    """It passes on one request a connection. `script` says what happens to the next ones, and `always` to all others:

    pass     passed on
    drop     the connection closed at once, nothing done
    reset    the connection reset at once, nothing done
    lose     done, and the connection closed without an answer
    cut      done, and the connection closed in the middle of the answer
    hold     not answered until the proxy ends
    trickle  done, and the answer sent byte by byte, 20 a second
    endless  an answer whose content never ends
    503      (or another number) answered this, nothing done
    other    answered by 200, and this text, nothing done

    `watch` is told "before" and "after" a request is passed on, with its first line; if it raises ConnectionError, the
    connection is closed.
    """

    target: str
    url: str = ""
    always: str = "pass"
    script: deque[str] = field(default_factory=deque)
    watch: Watch | None = None
    requests: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    connections: set[asyncio.Task[None]] = field(default_factory=set)  # asyncio itself does not keep them

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.connections.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        length = sum(int(line[15:]) for line in headers if line.lower().startswith("content-length:"))
        body = await reader.readexactly(length)
        self.requests.append(first)
        told = self.script.popleft() if self.script else self.always
        if told == "drop":
            return
        if told == "reset":
            reset(writer)
            return
        if told == "hold":
            await self.ended.wait()
        elif told == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
        elif told.isdecimal():
            writer.write(f"HTTP/1.1 {told} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        elif told in {"pass", "lose", "cut", "trickle"}:
            kept = [line for line in headers if not line.lower().startswith("connection:")]
            if self.watch:
                await self.watch("before", first)
            answer = await self._passed_on("\r\n".join([first, "Connection: close", *kept]).encode("latin-1") + body)
            if self.watch:
                await self.watch("after", first)
            await self._send(told, answer, writer)
        else:
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\nConnection: close\r\n\r\n{told}".encode())
        await writer.drain()

    async def _passed_on(self, request: bytes) -> bytes:
        at = urlsplit(self.target)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        try:
            writer.write(request)
            return await reader.read()
        finally:
            writer.close()

    @staticmethod
    async def _send(told: str, answer: bytes, writer: asyncio.StreamWriter) -> None:
        content = answer.index(b"\r\n\r\n") + 4
        middle = (content + len(answer)) // 2 if len(answer) > content else content // 2
        if told == "trickle":
            for byte in answer:
                writer.write(bytes([byte]))
                await writer.drain()  # ends when the client has gone
                await asyncio.sleep(0.05)
        elif told != "lose":
            writer.write(answer if told == "pass" else answer[:middle])


@asynccontextmanager
async def proxying(target: str) -> AsyncIterator[StorageProxy]:
    """A proxy before the storage at `target`, on a port of its own, until the block ends."""
    proxy = StorageProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1")
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        proxy.ended.set()
        server.close()
        for task in proxy.connections:
            task.cancel()
        await asyncio.gather(*proxy.connections, return_exceptions=True)
        await asyncio.sleep(0)  # what they have closed is closed now
