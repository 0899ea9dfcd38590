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
from api.main import Api, create_app
from api.schemas.fields import RECORD_BODY
from api.settings import Settings
from tests.api.test_permissions import SOME_ID, filled
from tests.conftest import Served, answering

EVIL = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
FOR_BROWSERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
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
    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_an_extra_slash_is_404_without_a_redirect(self, client: httpx.AsyncClient, method: str) -> None:
        for path in ("/animals/", "/animals/1/", "/animals/1/restore/", "/docs/", "/docs/assets"):
            answer = await client.request(method, path, headers=EVIL)
            assert answer.status_code == 404, path
            assert isinstance(answer.json()["detail"], str), path
            assert "Location" not in answer.headers, path

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
        self, app: Served, session: AsyncSession, worker_app: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(app.app, "openapi", worker_app.openapi)  # the same document, which takes long to make
        client, asked = app.client("admin"), 0
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

    def test_is_not_in_the_document(self, worker_app: Api) -> None:
        assert {method for path in worker_app.openapi()["paths"].values() for method in path} <= {
            "get", "post", "put", "patch", "delete",
        }  # fmt: skip


class TestOptions:
    async def test_lists_the_methods_to_anybody(self, anonymous: httpx.AsyncClient) -> None:
        for path, allowed in (
            ("/animals", "GET, HEAD, OPTIONS, POST"),
            ("/animals/1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
            ("/animals/1/restore", "OPTIONS, POST"),
            ("/openapi.json", "GET, HEAD, OPTIONS"),
            ("/docs/assets/swagger-ui.css", "GET, HEAD, OPTIONS"),
        ):
            answer = await anonymous.options(path)
            assert (answer.status_code, answer.content, answer.headers["Allow"]) == (204, b"", allowed), path

    async def test_every_route_answers_it(self, anonymous: httpx.AsyncClient, worker_app: FastAPI) -> None:
        for route in worker_app.routes:
            if isinstance(route, APIRoute):
                path = re.sub(r"\{\w+:uuid\}", SOME_ID, route.path)
                answer = await anonymous.options(path)
                assert answer.status_code == 204, path
                assert route.methods is not None
                assert route.methods <= set(answer.headers["Allow"].split(", "))

    async def test_is_404_on_an_unknown_path(self, anonymous: httpx.AsyncClient) -> None:
        for path in ("/nothing", "/animals/1/2", "/animals/", "/docs/"):
            assert (await anonymous.options(path)).status_code == 404, path

    async def test_files_allow_only_the_methods_that_they_answer(self, anonymous: httpx.AsyncClient) -> None:
        refused = await anonymous.post("/docs/assets/swagger-ui.css")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


class TestHeadersForBrowsers:
    async def test_are_on_every_answer(self, client: httpx.AsyncClient) -> None:
        for method, path, body, status in (
            ("GET", "/animals", b"", 200),
            ("POST", "/animals", b"{}", 422),
            ("POST", "/animals", b" " * (RECORD_BODY + 1), 413),
            ("OPTIONS", "/animals", b"", 204),
            ("HEAD", "/animals", b"", 200),
            ("GET", "/animals/999999", b"", 404),
            ("GET", "/nothing", b"", 404),
            ("PUT", "/animals", b"", 405),
            ("GET", "/", b"", 307),
            ("GET", "/docs/assets/swagger-ui.css", b"", 200),
        ):
            answer = await client.request(method, path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == status, path
            assert answer.headers.items() >= FOR_BROWSERS.items(), (method, path)

    async def test_are_on_an_answer_without_the_database(self) -> None:
        async with answering(create_app(Settings(database_url="postgresql://zoo_api@127.0.0.1:1/zoo"))) as without:
            answer = await without.get("/animals")
        assert answer.status_code == 503
        assert answer.headers.items() >= FOR_BROWSERS.items()

    async def test_are_on_an_unexpected_error(self) -> None:
        async def fail() -> None:
            raise RuntimeError

        app = create_app(Settings())
        app.add_api_route("/broken", fail)
        async with answering(app) as client:
            answer = await client.get("/broken")
        assert answer.status_code == 500
        assert answer.headers.items() >= FOR_BROWSERS.items()

    async def test_the_docs_run_only_their_own_scripts(self, client: httpx.AsyncClient) -> None:
        assert_only_its_own_scripts(await client.get("/docs"))


class TestPersonalData:
    async def test_public_answers_may_be_stored(self, client: httpx.AsyncClient) -> None:
        assert "Cache-Control" not in (await client.get("/animals")).headers
