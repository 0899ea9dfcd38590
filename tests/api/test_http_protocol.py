"""What is read does not depend on segments, and nothing that is not meant to be a header is sent as one."""

import asyncio
import hashlib
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.server.http_protocol import HttpProtocol
from tests.rounds import rounds

ROUNDS = rounds(quick=20, full=2_000)
SMUGGLED = b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: zoo\r\n\r\n"
CONTENT = [b"", b"x", b"0\r\n\r\n", b"\r\n\r\n", SMUGGLED, b"ab\r" * 30]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what was read."""
    request = Request(scope, receive)
    body = hashlib.sha256(await request.body()).hexdigest()
    read = [request.method, request.url.path, body, request.headers.get("x-trailer")]
    await JSONResponse(read)(scope, receive, send)


@asynccontextmanager
async def serving(app: ASGIApp, sockets: list[socket.socket] | None = None) -> AsyncIterator[int]:
    """The port on which `app` is served."""
    config = uvicorn.Config(app, http=HttpProtocol, port=0, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets))
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(echo) as port:
        yield port


async def get(port: int) -> bytes:
    """All that is answered to a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: zoo\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


def some_request(random: random.Random, number: int) -> tuple[bytes, list[Any]]:
    """A request, and what is read from it."""
    content = random.choice(CONTENT) * random.choice([1, 1, 40])
    method, path = random.choice(["PUT", "POST"]), f"/{number}"
    head = f"{method} {path} HTTP/1.1\r\nHost: zoo\r\n"
    if random.random() < 0.3:
        head += "Connection: Upgrade\r\nUpgrade: h2c\r\n"
    if random.random() < 0.5:
        framed = f"Content-Length: {len(content)}\r\n\r\n".encode() + content
    else:
        framed, rest = b"Transfer-Encoding: chunked\r\n\r\n", content
        while rest:
            size = random.randint(1, len(rest))
            framed += f"{size:x}".encode() + random.choice([b"", b";a=b"]) + b"\r\n" + rest[:size] + b"\r\n"
            rest = rest[size:]
        framed += b"0\r\n" + random.choice([b"", b"X-Trailer: x\r\n"]) + b"\r\n"
    blank_lines = b"\r\n" * random.choice([0, 0, 1, 3])
    return blank_lines + head.encode() + framed, [method, path, hashlib.sha256(content).hexdigest(), None]


async def answers(reader: asyncio.StreamReader, number: int) -> list[Any]:
    found = []
    for _ in range(number):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK"), head
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        found.append(json.loads(await reader.readexactly(length)))
    return found


async def test_requests_are_read_the_same_however_they_are_segmented(port: int) -> None:
    for seed in range(ROUNDS):
        by_seed = random.Random(seed)
        requests, expected = zip(*(some_request(by_seed, number) for number in range(6)), strict=True)
        sent = b"".join(requests)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        cuts = sorted(by_seed.randrange(len(sent)) for _ in range(by_seed.choice([0, 3, 20, 60])))
        for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            writer.write(sent[start:end])
            await asyncio.sleep(0 if by_seed.random() < 0.7 else 0.001)
        assert await asyncio.wait_for(answers(reader, len(requests)), 20) == list(expected), seed
        writer.close()


async def test_a_body_that_is_parsed_in_parts_ends_where_it_ends_whatever_it_consists_of(port: int) -> None:
    """It arrives at once, so that a part of it may end in the middle of what could be its end."""
    for offset in range(4):
        content = b"x" * offset + b"\r\n\r\n" * 20_000
        head = b"PUT / HTTP/1.1\r\nHost: zoo\r\nTransfer-Encoding: chunked\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)) * 2)
        expected = ["PUT", "/", hashlib.sha256(content).hexdigest(), None]
        assert await asyncio.wait_for(answers(reader, 2), 20) == [expected] * 2
        writer.close()


@pytest.mark.parametrize(
    "header",
    [(b"x", b"a\r\nset-cookie: zoo-auth=evil"), (b"x", b"a\nevil: 1"), (b"x", b"evil\0"), (b"x\revil", b"a")],
    ids=["lines", "half a line", "NUL", "in a name"],
)
async def test_no_value_adds_a_header_to_an_answer(header: tuple[bytes, bytes]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send({"type": "http.response.start", "status": 200, "headers": [header]})
        await send({"type": "http.response.body", "body": b"sent"})

    async with serving(app) as port:
        answer = await get(port)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"evil" not in answer


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
async def test_a_client_of_ipv4_has_its_address_also_on_a_socket_for_both() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(scope["client"][0])(scope, receive, send)

    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        async with serving(app, [both]) as port:
            assert (await get(port)).endswith(b'"127.0.0.1"')
