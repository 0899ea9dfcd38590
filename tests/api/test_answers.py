"""What every answer has, wherever it comes from: headers for browsers, no URL made from the request; HEAD, OPTIONS."""

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncSession

from api.external_services.s3 import S3
from api.external_services.services import Services
from api.main import create_app
from api.settings import Settings
from tests.api.test_permissions import SOME_ID, filled
from tests.conftest import answering

EVIL = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
FOR_BROWSERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def paths(app: FastAPI, method: str) -> Iterator[str]:
    return (route.path for route in app.routes if isinstance(route, APIRoute) and method in (route.methods or ()))


def assert_only_its_own_scripts(page: httpx.Response) -> None:
    """That a page of the docs lets the browser run no script but its own, and nobody frame it."""
    (policy,) = page.headers.get_list("Content-Security-Policy")
    assert "unsafe" not in policy
    assert "script-src 'self' 'sha256-" in policy
    assert "frame-ancestors 'none'" in policy


class TestUrls:
    @pytest.mark.parametrize("path", ["/animals/", "/animals/1/", "/animals/1/restore/", "/docs/", "/docs/assets"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_an_extra_slash_is_404_without_a_redirect(
        self, client: httpx.AsyncClient, method: str, path: str
    ) -> None:
        answer = await client.request(method, path, headers=EVIL)
        assert answer.status_code == 404
        assert isinstance(answer.json()["detail"], str)
        assert "Location" not in answer.headers

    async def test_no_answer_names_the_host_of_the_request(self, client: httpx.AsyncClient) -> None:
        for name in ("Amara", "Bahati"):
            made = await client.post("/animals", json={"name": name}, headers=EVIL)
            assert made.headers["Location"] == f"/animals/{made.json()['id']}"
        listed = await client.get("/animals?limit=1", headers=EVIL)
        assert listed.headers["Link"].startswith("</animals?")
        assert (await client.get("/", headers=EVIL)).headers["Location"] == "/docs"
        for path in (
            "/",
            "/docs",
            "/openapi.json",
            "/docs/assets/",
            "/docs/assets/x",
        ):
            answer = await client.get(path, headers=EVIL)
            assert "evil" not in answer.text + str(answer.headers)


class TestHead:
    @pytest.fixture
    def services(self, s3: S3) -> Services:
        return Services(s3=s3)

    async def test_is_answered_wherever_get_is_with_the_same_headers_and_no_body(
        self, client: httpx.AsyncClient, session: AsyncSession, worker_app: FastAPI
    ) -> None:
        asked = 0
        for path in [*paths(worker_app, "GET"), "/openapi.json", "/docs/assets/swagger-ui.css", "/nothing"]:
            path = await filled(client, session, path)  # noqa: PLW2901 - the path to request
            got, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            of_the_moment = {"x-request-id"} | ({"etag"} if path.startswith("/health") else set())
            lasting = (
                [pair for pair in answer.headers.multi_items() if pair[0] not in of_the_moment]
                for answer in (got, head)
            )
            assert next(lasting) == next(lasting), path
            asked += 1
        assert asked > 20

    async def test_is_405_where_there_is_no_get(self, client: httpx.AsyncClient) -> None:
        assert (await client.head("/animals/1/restore")).status_code == 405

    async def test_is_not_in_the_document(self, client: httpx.AsyncClient) -> None:
        document = (await client.get("/openapi.json")).json()
        assert {method for path in document["paths"].values() for method in path} <= {
            "get", "post", "put", "patch", "delete",
        }  # fmt: skip


class TestOptions:
    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("/animals", "GET, HEAD, OPTIONS, POST"),
            ("/animals/1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
            ("/animals/1/restore", "OPTIONS, POST"),
            ("/openapi.json", "GET, HEAD, OPTIONS"),
            ("/docs/assets/swagger-ui.css", "GET, HEAD, OPTIONS"),
        ],
    )
    async def test_lists_the_methods_to_anybody(self, anonymous: httpx.AsyncClient, path: str, allowed: str) -> None:
        answer = await anonymous.options(path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Allow"] == allowed

    async def test_every_route_answers_it(self, anonymous: httpx.AsyncClient, worker_app: FastAPI) -> None:
        for route in worker_app.routes:
            if isinstance(route, APIRoute):
                path = re.sub(r"\{\w+:uuid\}", SOME_ID, route.path)
                answer = await anonymous.options(path)
                assert answer.status_code == 204, path
                assert route.methods is not None
                assert route.methods <= set(answer.headers["Allow"].split(", "))

    @pytest.mark.parametrize("path", ["/nothing", "/animals/1/2", "/animals/", "/docs/"])
    async def test_is_404_on_an_unknown_path(self, anonymous: httpx.AsyncClient, path: str) -> None:
        assert (await anonymous.options(path)).status_code == 404

    async def test_files_allow_only_the_methods_that_they_answer(self, anonymous: httpx.AsyncClient) -> None:
        refused = await anonymous.post("/docs/assets/swagger-ui.css")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


class TestHeadersForBrowsers:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/animals", 200),
            ("POST", "/animals", 422),
            ("OPTIONS", "/animals", 204),
            ("HEAD", "/animals", 200),
            ("GET", "/nothing", 404),
            ("PUT", "/animals", 405),
            ("GET", "/", 307),
            ("GET", "/docs/assets/swagger-ui.css", 200),
        ],
    )
    async def test_are_on_every_answer(self, client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
        answer = await client.request(method, path)
        assert answer.status_code == status
        assert answer.headers.items() >= {name.lower(): value for name, value in FOR_BROWSERS.items()}.items()

    async def test_are_on_error_answers_too(self, client: httpx.AsyncClient) -> None:
        for answer in (
            await client.get("/animals/999999"),
            await client.post("/animals", content=b"{}" * 2**20, headers={"Content-Type": "application/json"}),
        ):
            assert answer.status_code in {404, 413}
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with answering(create_app(Settings(database_url="postgresql://zoo_api@127.0.0.1:1/zoo"))) as without:
            answer = await without.get("/animals")
            assert answer.status_code == 503
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    async def test_are_on_an_unexpected_error(self) -> None:
        async def fail() -> None:
            raise RuntimeError

        app = create_app(Settings())
        app.add_api_route("/broken", fail)
        async with answering(app) as client:
            answer = await client.get("/broken")
        assert answer.status_code == 500
        assert answer.headers.items() >= {name.lower(): value for name, value in FOR_BROWSERS.items()}.items()

    async def test_the_docs_run_only_their_own_scripts(self, client: httpx.AsyncClient) -> None:
        assert_only_its_own_scripts(await client.get("/docs"))


class TestPersonalData:
    async def test_public_answers_may_be_stored(self, client: httpx.AsyncClient) -> None:
        assert "Cache-Control" not in (await client.get("/animals")).headers
