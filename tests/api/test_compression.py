"""gzip: for answers that are worth it, for clients that ask for it, and not for answers with secrets."""

import gzip

import httpx
import pytest

from api.http.compression import LEAST_BYTES
from api.http.exchange import Exchange
from api.main import create_app
from api.settings import Settings
from tests.api.records import make
from tests.conftest import Serve

ASKED = {"Accept-Encoding": "gzip"}
NOT_ASKED = {"Accept-Encoding": "identity"}


@pytest.fixture
async def long(client: httpx.AsyncClient) -> str:
    """The path of an answer that is worth compressing."""
    return f"/animals/{(await make(client, '/animals', description='x' * 2 * LEAST_BYTES))['id']}"


async def test_a_long_answer_is_compressed_for_clients_that_accept_it(client: httpx.AsyncClient, long: str) -> None:
    plain, compressed = await client.get(long, headers=NOT_ASKED), await client.get(long, headers=ASKED)
    assert "Content-Encoding" not in plain.headers
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert compressed.content == plain.content  # httpx has decompressed it
    assert int(compressed.headers["Content-Length"]) < len(plain.content) / 2
    assert {answer.headers["Vary"] for answer in (plain, compressed)} == {"Accept-Encoding"}


async def test_only_a_client_that_names_gzip_gets_it(client: httpx.AsyncClient, long: str) -> None:
    for accept_encoding, is_compressed in (
        ("gzip, deflate, br, zstd", True),
        ("GZip", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, identity", False),
        ("br, identity", False),
        ("xgzip", False),
        ("", False),
    ):
        answer = await client.get(long, headers={"Accept-Encoding": accept_encoding})
        assert ("Content-Encoding" in answer.headers) == is_compressed, accept_encoding


async def test_a_short_answer_is_not_compressed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health", headers=ASKED)
    assert not answer.headers.keys() & {"content-encoding", "vary"}


@pytest.mark.parametrize(
    ("path", "is_compressed"),
    [
        ("/docs/assets/swagger-ui.css", True),
        ("/docs/assets/swagger-ui-bundle.js", True),
        ("/docs/assets/favicon-32x32.png", False),
    ],
)
async def test_files_are_compressed_depending_on_their_type(
    anonymous: httpx.AsyncClient, path: str, is_compressed: bool
) -> None:
    plain, asked = await anonymous.get(path, headers=NOT_ASKED), await anonymous.get(path, headers=ASKED)
    assert asked.content == plain.content
    assert ("Content-Encoding" in asked.headers) == is_compressed
    assert (asked.headers["ETag"] != plain.headers["ETag"]) == is_compressed
    for answer, headers in ((plain, NOT_ASKED), (asked, ASKED)):
        again = await anonymous.get(path, headers={**headers, "If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_a_part_of_a_file_is_not_compressed(anonymous: httpx.AsyncClient) -> None:
    path = "/docs/assets/swagger-ui.css"
    answer = await anonymous.get(path, headers={**ASKED, "Range": "bytes=0-4999"})
    assert (answer.status_code, len(answer.content)) == (206, 5000)
    assert "Content-Encoding" not in answer.headers


async def test_each_form_has_a_tag_of_its_own(client: httpx.AsyncClient, long: str) -> None:
    """A cache that has one form must not take it for the other."""
    plain, compressed = await client.get(long, headers=NOT_ASKED), await client.get(long, headers=ASKED)
    assert compressed.headers["ETag"] == plain.headers["ETag"][:-1] + '-gzip"'
    for headers, has, status in (
        (ASKED, compressed, 304), (ASKED, plain, 200), (NOT_ASKED, plain, 304), (NOT_ASKED, compressed, 200),
    ):  # fmt: skip
        answer = await client.get(long, headers={**headers, "If-None-Match": has.headers["ETag"]})
        assert answer.status_code == status
        assert answer.headers["Vary"] == "Accept-Encoding"


async def test_a_head_has_the_headers_of_the_compressed_answer(client: httpx.AsyncClient, long: str) -> None:
    got, head = await client.get(long, headers=ASKED), await client.head(long, headers=ASKED)
    assert head.content == b""
    for name in ("Content-Encoding", "Content-Length", "ETag", "Vary"):
        assert head.headers[name] == got.headers[name]


async def test_an_error_is_compressed(client: httpx.AsyncClient) -> None:
    long = await client.post("/animals", json={f"{'x' * 90}{n}": 1 for n in range(8)}, headers=ASKED)
    assert (long.status_code, long.headers["Content-Encoding"]) == (422, "gzip")
    assert len(long.json()["detail"]) > 1


async def test_the_setting_turns_it_off(serve_here: Serve) -> None:
    client = serve_here(create_app(Settings(gzip=False))).client()
    answer = await client.get("/docs/assets/swagger-ui.css", headers=ASKED)
    assert not answer.headers.keys() & {"content-encoding", "vary"}


@pytest.mark.parametrize("parts", [[b"a" * 500_000], [b"a" * 2000, b"", b"b" * 300_000, b"c"], [b"", b"a" * 5000]])
async def test_an_answer_in_parts_arrives_whole(parts: list[bytes]) -> None:
    length = sum(map(len, parts))

    async def app(_: object, __: object, send: object) -> None:
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
        for number, part in enumerate(parts, start=1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})  # type: ignore[operator]

    sent: list[bytes] = []

    async def receive(message: dict[str, bytes]) -> None:
        sent.append(message.get("body", b""))

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"accept-encoding", b"gzip")]}
    await Exchange(app, Settings())(scope, None, receive)  # type: ignore[arg-type]
    assert gzip.decompress(b"".join(sent)) == b"".join(parts)
