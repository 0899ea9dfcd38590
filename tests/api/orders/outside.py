"""A payments service and a kitchen, as one real HTTP server that can be told to misbehave."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.api.storage_proxy import reset


@dataclass(frozen=True)
class Call:
    """A request that arrived."""

    path: str
    key: str
    body: Any
    headers: dict[str, str]


@dataclass
class Outside:
    """It respects idempotency keys: requests with the same key are done once, and get the same answer.

    `script` says what happens to the next requests; without it, they are answered correctly:

        hold        answered after `go` is set; after `hang_up()`, it and all further ones are not answered
        lose        done, and the connection closed without an answer
        drop        the connection closed at once, nothing done
        reset       the connection reset at once, nothing done
        503, 404    answered this, nothing done
        garbage, {} done, and answered something else
    """

    url: str = ""
    payment: str = "paid"
    said: str = "{}"  # with a status that the script has
    same: dict[str, Any] = field(default_factory=dict)  # what all correct answers have, such as an id
    script: deque[str] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    always: dict[str, str] = field(default_factory=dict)  # the same, for all requests with a key
    done: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    hangs_up: bool = False

    def hang_up(self) -> None:
        """Close the connections of held requests, and of all further ones, without an answer."""
        self.hangs_up = True
        self.go.set()

    def paths(self) -> list[str]:
        return [call.path for call in self.calls]

    def did(self, path: str) -> list[dict[str, Any]]:
        """What was done there, once each."""
        return [answer for (done_path, _), answer in self.done.items() if done_path == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        path = request.split(" ")[1]
        key = headers["idempotency-key"]
        body = json.loads(await reader.readexactly(int(headers["content-length"])))
        self.calls.append(Call(path, key, body, headers))
        self.arrived.set()
        told = self.always.get(key) or (self.script.popleft() if self.script else "answer")
        if told == "hold":
            await self.go.wait()
        if told == "reset":
            reset(writer)
        if told in {"drop", "reset"} or self.hangs_up:
            return False
        if told.isdecimal():
            self._write(writer, int(told), self.said)
            return True
        answer = self.done.setdefault((path, key), self._do(path, body) | self.same)
        if told == "lose":
            return False
        status = 200 if path.endswith("/cancel") else 201
        self._write(writer, status, json.dumps(answer) if told in {"answer", "hold"} else told)
        return True

    def _do(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/payments":
            return {"payment_id": str(uuid4()), "status": self.payment}
        if path.endswith("/refund"):
            return {"status": "refunded"}
        return {"id": str(uuid4()), "status": "pending", "scheduled": 1, "order": body["order"]}

    @staticmethod
    def _write(writer: asyncio.StreamWriter, status: int, body: str) -> None:
        head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())


@asynccontextmanager
async def serving() -> AsyncIterator[Outside]:
    """A service on a port of its own, until the block ends; `close` ends it earlier."""
    outside = Outside()
    server = await asyncio.start_server(outside.serve, "127.0.0.1")
    outside.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield outside
    finally:
        outside.go.set()
        server.close()
