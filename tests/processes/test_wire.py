"""Requests, byte by byte, to the api as gunicorn serves it."""

import json
import re
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from local.postgres import Server
from tests.conftest import Log, clone, drop, superuser
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.python import HANGS

HOST = "Host: zoo\r\n"
KEEPER = "Authorization: Bearer keeper\r\n"
JSON = "Content-Type: application/json\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
GET = f"GET /animals/1 HTTP/1.1\r\n{HOST}"
PATCH = f"PATCH /animals/1 HTTP/1.1\r\n{HOST}{KEEPER}{JSON}"
LAST = "Connection: close\r\n"


@dataclass(frozen=True)
class Api:
    """The api, its log, and a superuser's connection to its database."""

    port: int
    log: Path
    admin: asyncpg.Connection

    def send(self, *segments: str | bytes) -> bytes:
        """The answer to these segments, each sent by itself, until the api closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=HANGS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number, segment in enumerate(segments):
                time.sleep(0.05 if number else 0)
                connection.sendall(segment if isinstance(segment, bytes) else segment.encode("latin-1"))
            return b"".join(iter(lambda: connection.recv(2**16), b""))

    def logged(self, request_id: str) -> list[Log]:
        """The log's lines of one request; waits until there is one."""
        deadline = time.monotonic() + HANGS
        while True:
            lines = [line for line in self.log.read_text().splitlines() if f'"{request_id}"' in line]
            if lines or time.monotonic() > deadline:
                return [json.loads(line) for line in lines]
            time.sleep(0.02)

    async def updated_at(self) -> Any:
        return await self.admin.fetchval("SELECT updated_at FROM animals WHERE id = 1")

    async def description(self) -> Any:
        return await self.admin.fetchval("SELECT description FROM animals WHERE id = 1")


@pytest.fixture(scope="module")
async def api(
    server: Server, maintenance: asyncpg.Connection, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    """gunicorn with two workers, and a database with animal 1."""
    database = await clone(maintenance)
    admin = await superuser(server, database)
    await admin.execute("INSERT INTO animals (name) VALUES ('Amara')")
    port, log = find_free_port(), tmp_path_factory.mktemp("wire") / "api.log"
    settings = server.environment(database) | {"FORWARDED_ALLOW_IPS": "127.0.0.1"}
    with gunicorn(settings, port, log):
        yield Api(port, log, admin)
    await admin.close()
    await drop(maintenance, database)


@pytest.fixture(autouse=True)
async def no_description(api: Api) -> None:
    await api.admin.execute("UPDATE animals SET description = NULL")


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def split(answer: bytes) -> tuple[int, dict[str, str], Any]:
    """Status, headers and body of the one answer in these bytes."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, json.loads(body) if body else None


def with_body(head: str, body: str, *, is_chunked: bool = False) -> tuple[str, str]:
    """Head and body, with a length, or in chunks of three bytes."""
    if not is_chunked:
        return f"{head}Content-Length: {len(body)}\r\n\r\n", body
    chunks = [body[start : start + 3] for start in range(0, len(body), 3)]
    return f"{head}Transfer-Encoding: chunked\r\n\r\n", "".join(
        f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in [*chunks, ""]
    )


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0", "something/9, else"])
async def test_a_request_that_asks_for_another_protocol_is_answered_as_http_1_1(
    api: Api, upgrade: str, is_chunked: bool
) -> None:
    asks = f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    head, body = with_body(PATCH + asks, '{"description": "one"}', is_chunked=is_chunked)
    last = GET + LAST + "\r\n"
    assert statuses(api.send(head + body + last)) == [200, 200]
    assert await api.description() == "one"
    head, body = with_body(PATCH + asks, '{"description": "two"}', is_chunked=is_chunked)
    assert statuses(api.send(head, body, last)) == [200, 200]
    assert await api.description() == "two"


SMUGGLED = "GET /health HTTP/1.1\r\nHost: zoo\r\n\r\n"
REFUSED: dict[str, tuple[int, str]] = {
    "no host": (400, "GET /animals HTTP/1.1\r\n\r\n"),
    "two hosts": (400, f"GET /animals HTTP/1.1\r\n{HOST}{HOST}\r\n"),
    "two hosts in HTTP/1.0": (400, f"GET /animals HTTP/1.0\r\n{HOST}{HOST}\r\n"),
    "a host that is none": (400, "GET /animals HTTP/1.1\r\nHost: zoo/animals\r\n\r\n"),
    "both lengths": (400, f"{PATCH}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
    "two lengths": (400, f"{PATCH}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}"),
    "a length with a sign": (400, f"{PATCH}Content-Length: +2\r\n\r\n{{}}"),
    "a length that is none": (400, f"{PATCH}Content-Length: two\r\n\r\n{{}}"),
    "gzip, chunked": (501, f"{PATCH}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "gzip": (501, f"{PATCH}Transfer-Encoding: gzip\r\n\r\n"),
    "identity": (501, f"{PATCH}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{{}}"),
    "chunked twice": (400, f"{PATCH}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked in HTTP/1.0": (
        400,
        f"PATCH /animals/1 HTTP/1.0\r\n{HOST}{KEEPER}{JSON}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "a chunk that is none": (400, f"{PATCH}Transfer-Encoding: chunked\r\n\r\nx\r\n{{}}\r\n0\r\n\r\n"),
    "a chunk too short": (400, f"{PATCH}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}}}\r\n0\r\n\r\n"),
    "HTTP/2": (505, f"GET /animals HTTP/2.0\r\n{HOST}\r\n"),
    "HTTP/2's preface": (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/0.9": (505, "GET /animals\r\n\r\n"),
    "no HTTP at all": (400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "an unknown method": (400, f"FETCH /animals HTTP/1.1\r\n{HOST}\r\n"),
    "CONNECT": (501, f"CONNECT zoo:443 HTTP/1.1\r\n{HOST}\r\n"),
    "bytes in the URL": (400, f"GET /animals/\xe9\xff HTTP/1.1\r\n{HOST}\r\n"),
    "bytes in the query": (400, f"GET /animals?name=\xe9 HTTP/1.1\r\n{HOST}\r\n"),
    "a blank in a header's name": (400, f"GET /animals HTTP/1.1\r\n{HOST}X-Y : z\r\n\r\n"),
    "a header in two lines": (400, f"GET /animals HTTP/1.1\r\n{HOST}X-Y: z\r\n z\r\n\r\n"),
    "NUL in a header": (400, f"GET /animals HTTP/1.1\r\n{HOST}X-Y: \0\r\n\r\n"),
    "lines without CR": (400, "GET /animals HTTP/1.1\nHost: zoo\n\n\r\n\r\n"),
    "a long URL": (414, f"GET /animals?name={'x' * 9_000} HTTP/1.1\r\n{HOST}\r\n"),
    "a long URL that does not end": (414, f"GET /{'x' * 40_000}"),
    "a long header": (431, f"{GET}X-Y: {'y' * 33_000}\r\n\r\n"),
    "a long header that does not end": (431, f"{GET}X-Y: {'y' * 70_000}"),
    "many headers": (431, GET + "a:\r\n" * 100 + "\r\n"),
    "many headers that do not end": (431, GET + "a:\r\n" * 20_000),
    "a long trailer": (431, f"{PATCH}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\na: {'b' * 70_000}"),
    "many trailers": (431, f"{PATCH}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n" + "a:\r\n" * 101 + "\r\n"),
    "many trailers that do not end": (
        431,
        f"{PATCH}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n" + "a: b\r\n" * 20_000,
    ),
    "a long extension of a chunk": (431, f"{PATCH}Transfer-Encoding: chunked\r\n\r\n2;x={'y' * 200_000}"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refusals_of_the_server_have_the_same_form_as_all_answers(api: Api, name: str) -> None:
    status, request = REFUSED[name]
    request_id = "wire-" + re.sub(r"\W", "-", name)
    line, end, rest = request.partition("\r\n")
    answer = api.send(f"{line}{end}X-Request-ID: {request_id}\r\n{rest}" if "HTTP/1.1\r\n" in request else request)
    assert statuses(answer) == [status], answer
    found, headers, body = split(answer)
    assert (found, headers["content-type"], headers["connection"]) == (status, "application/json", "close")
    assert body["detail"].isascii()
    logged = [line for line in api.logged(headers["x-request-id"]) if line["event"] == "request"]
    assert [line["status"] for line in logged] == [status]
    assert await api.description() is None


def test_the_log_has_method_and_path_of_a_refused_request_and_no_query(api: Api) -> None:
    answer = api.send(f"GET /animals/1?token=secret HTTP/1.1\r\n{HOST}X-Y : z\r\n\r\n")
    (line,) = api.logged(split(answer)[1]["x-request-id"])
    assert (line["method"], line["path"], line["status"]) == ("GET", "/animals/1", 400)


async def test_a_body_that_does_not_arrive_is_not_taken_for_an_empty_one(api: Api) -> None:
    before = await api.updated_at()
    for framing in ("Content-Length: 2\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"):
        with socket.create_connection(("127.0.0.1", api.port), timeout=HANGS) as connection:
            connection.sendall(f"{PATCH}{framing}".encode())
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(2**16) == b""
    assert await api.updated_at() == before


def test_pipelined_requests_are_answered_in_their_order(api: Api) -> None:
    head, body = with_body(PATCH, '{"description": "x"}', is_chunked=True)
    not_found = f"GET /animals/99 HTTP/1.1\r\n{HOST}\r\n"
    requests = f"{GET}\r\n{not_found}{head}{body}\r\n\r\n{GET}\r\n{not_found}{GET}{LAST}\r\n{GET}\r\n"
    expected = [200, 404, 200, 200, 404, 200]
    assert statuses(api.send(requests)) == expected
    for cut in range(1, len(requests), 37):
        assert statuses(api.send(requests[:cut], requests[cut:])) == expected


def test_an_unreadable_request_is_refused_after_those_before_it_are_answered(api: Api) -> None:
    assert statuses(api.send(f"{GET}\r\n{GET}\r\n\0\r\n\r\n")) == [200, 200, 400]


MEGABYTES, PART = 20, b" " * 2**20
UPLOADS = {
    "too large": (413, f"POST /animals HTTP/1.1\r\n{HOST}{KEEPER}{JSON}"),
    "compressed": (415, f"POST /animals HTTP/1.1\r\n{HOST}{KEEPER}{JSON}Content-Encoding: gzip\r\n"),
    "of nobody": (401, f"DELETE /animals/1 HTTP/1.1\r\n{HOST}{JSON}"),
    "to nowhere": (404, f"POST /elephants HTTP/1.1\r\n{HOST}{JSON}"),
    "with a method not allowed": (405, f"PUT /animals HTTP/1.1\r\n{HOST}{JSON}"),
    "without a host": (400, f"POST /animals HTTP/1.1\r\n{JSON}"),
}


@pytest.mark.parametrize("name", UPLOADS)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_a_client_that_writes_before_it_reads_gets_the_answer_to_a_refused_upload(
    api: Api, name: str, is_chunked: bool
) -> None:
    status, head = UPLOADS[name]
    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {MEGABYTES * 2**20}"
    with socket.create_connection(("127.0.0.1", api.port), timeout=HANGS) as connection:
        connection.sendall(f"{head}{framing}\r\n\r\n".encode())
        for _ in range(MEGABYTES):
            connection.sendall(b"100000\r\n%b\r\n" % PART if is_chunked else PART)
        if is_chunked:
            connection.sendall(b"0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert statuses(answer) in ([status], [413])  # for the latter, a length alone is enough
    assert split(answer)[1]["connection"] == "close"


def test_the_body_of_a_client_that_waits_for_100_continue_is_not_taken_for_the_next_request(api: Api) -> None:
    expect = (
        f"DELETE /elephants/1 HTTP/1.1\r\n{HOST}{JSON}Expect: 100-continue\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n"
    )
    assert statuses(api.send(expect, SMUGGLED)) == [404]
    leave = with_body(f"{PATCH}Expect: 100-continue\r\n", '{"description": "x"}')
    assert statuses(api.send(*leave, GET + LAST + "\r\n")) == [100, 200, 200]
