"""CORS: pages of the origins that the setting lists, and of no other, may use the api from a browser."""

from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import ValidationError

from api.main import Api, create_app
from api.settings import Settings
from tests.bearer import bearer
from tests.conftest import Log, Serve, answering

LONG = "/docs/assets/swagger-ui.css"  # an answer that may be compressed
OURS, OTHERS = "https://app.zoo.example", "https://evil.example"
EXPOSED = {
    "etag",
    "link",
    "location",
    "retry-after",
    "x-request-id",
    "x-stale-seconds",
    "x-total-count",
    "x-total-count-is",
    "x-trace-id",
}
HEADERS = ["authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "x-request-id"]


def listed(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


def is_let_in(answer: httpx.Response, origin: str = OURS) -> bool:
    allowed = answer.headers.get("Access-Control-Allow-Origin")
    assert allowed in {None, origin}
    return allowed is not None


@pytest.fixture
def with_origins() -> Api:
    return create_app(Settings(cors_origins=(OURS, "http://localhost:3000")))


@pytest.fixture
def page(with_origins: Api, serve_here: Serve) -> httpx.AsyncClient:
    """A page of a listed origin, which sends nothing but its origin."""
    client = serve_here(with_origins).client(raise_app_exceptions=False)
    client.headers["Origin"] = OURS
    return client


async def preflight(
    page: httpx.AsyncClient, path: str, method: str, headers: str = "", origin: str = OURS
) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    return await page.options(path, headers=asked | ({"Access-Control-Request-Headers": headers} if headers else {}))


class TestPreflight:
    async def test_allows_every_method_and_every_header_that_routes_use(
        self, page: httpx.AsyncClient, with_origins: FastAPI
    ) -> None:
        for route in with_origins.routes:
            if isinstance(route, APIRoute):
                for method in route.methods or ():
                    answer = await preflight(page, route.path, method, ",".join(HEADERS))
                    assert (answer.status_code, answer.content) == (204, b"")
                    assert is_let_in(answer)
                    assert method in answer.headers["Access-Control-Allow-Methods"]
                    assert listed(answer.headers["Access-Control-Allow-Headers"]) >= set(HEADERS)
                    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
                    assert "Origin" in answer.headers["Vary"]

    async def test_is_not_cached_for_other_origins(self, page: httpx.AsyncClient) -> None:
        headers = (await preflight(page, "/animals", "POST")).headers
        assert "Origin" in headers["Vary"]
        assert headers["Access-Control-Max-Age"] == "600"  # seconds, and then a browser asks again

    async def test_from_another_origin_is_like_any_other_options(self, page: httpx.AsyncClient) -> None:
        for origin in (OTHERS, "null", "https://app.zoo.example.evil.example", "http://app.zoo.example", "*", ""):
            answer = await preflight(page, "/animals", "POST", origin=origin)
            assert (answer.status_code, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST"), origin
            assert [name for name in answer.headers if name.startswith("access-control")] == [], origin
            assert answer.headers["Vary"] == "Origin", origin

    async def test_has_a_line_in_the_log_and_an_id(self, page: httpx.AsyncClient, log: Callable[[], list[Log]]) -> None:
        answer = await preflight(page, "/animals", "POST")
        (line,) = (line for line in log() if line["event"] == "request")
        assert (line["method"], line["status"]) == ("OPTIONS", 204)
        assert answer.headers["X-Request-ID"] == line["request_id"]


class TestAnswers:
    async def test_may_be_read_with_the_headers_that_clients_need(self, page: httpx.AsyncClient) -> None:
        answer = await page.get("/animals")
        assert is_let_in(answer)
        assert listed(answer.headers["Access-Control-Expose-Headers"]) == EXPOSED
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in answer.headers["Vary"]

    async def test_always_say_that_they_depend_on_the_origin(self, page: httpx.AsyncClient) -> None:
        for origin in (OTHERS, None):
            if origin is None:
                del page.headers["Origin"]
            answer = await page.get(LONG, headers={} if origin is None else {"Origin": origin})
            assert [name for name in answer.headers if name.startswith("access-control")] == []
            assert listed(answer.headers["Vary"]) == {"origin", "accept-encoding"}

    async def test_may_be_read_when_they_are_errors_or_not_modified(
        self, page: httpx.AsyncClient, with_origins: FastAPI
    ) -> None:
        async def fail() -> None:
            raise RuntimeError

        with_origins.add_api_route("/broken", fail)
        tag = (await page.get("/animals")).headers["ETag"]
        answers = [
            await page.get("/animals", headers={"If-None-Match": tag}),
            await page.get("/nothing"),
            await page.put("/animals"),
            await page.post(
                "/animals", content=b"x" * 2**21, headers={"Content-Type": "application/json", **bearer("keeper")}
            ),
            await page.get("/broken"),
        ]
        assert [answer.status_code for answer in answers] == [304, 404, 405, 413, 500]
        assert all(is_let_in(answer) for answer in answers)

    async def test_may_be_read_while_the_database_is_down(self) -> None:
        settings = Settings(database_url="postgresql://zoo_api@127.0.0.1:1/zoo", cors_origins=(OURS,))
        async with answering(create_app(settings)) as page:
            answer = await page.get("/animals", headers={"Origin": OURS})
            assert answer.status_code == 503
            assert is_let_in(answer)
            assert answer.headers["Retry-After"]


async def test_is_off_by_default(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/animals", headers={"Origin": OURS})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (await preflight(anonymous, "/animals", "POST")).status_code == 204  # like every OPTIONS
    assert not is_let_in(await preflight(anonymous, "/animals", "POST"))


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ()),
        ("https://a.example", ("https://a.example",)),
        (
            " https://A.example:443, http://b.example:8080 http://[::1]:3000 ",
            ("https://a.example", "http://b.example:8080", "http://[::1]:3000"),
        ),
    ],
)
def test_origins_are_separated_by_commas_and_normalized_as_in_browsers(
    monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", value)
    assert Settings().cors_origins == origins


@pytest.mark.parametrize(
    "value",
    ["*", "app.zoo.example", "https://app.zoo.example/", "https://app.zoo.example/x", "https://*.zoo.example", "null",
     "ftp://a.example", "https://a@b.example", "https://a.example,*", "https://a.example?x", "https://a.example:x"],
)  # fmt: skip
def test_an_invalid_origin_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CORS_ORIGINS", value)
    with pytest.raises(ValidationError, match="cors_origins"):
        Settings()
