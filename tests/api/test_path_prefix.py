"""Below a path prefix, because a proxy serves other things beside the api."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from api.main import Api, create_app
from api.settings import Settings
from tests.conftest import Log, Serve, Served
from tests.each import each

BELOW = {"X-Forwarded-Prefix": "/parks/zoo"}


@pytest.fixture(scope="module")
def app_below(worker_app: Api) -> Api:
    """The api with the setting; it has the document of the other, without the time that making it takes."""
    app = create_app(Settings(root_path="/zoo"))
    app.openapi = worker_app.openapi  # type: ignore[method-assign]  # as FastAPI documents it
    return app


@pytest.fixture
def below(app_below: Api, serve_here: Serve) -> Served:
    return serve_here(app_below)


@pytest.fixture(params=["stripped", "passed on"])
def path_of(request: pytest.FixtureRequest) -> Callable[[str, str], str]:
    """The path that the api gets from a proxy that strips the prefix, or does not."""
    return lambda prefix, path: path if request.param == "stripped" else prefix + path


async def check(client: httpx.AsyncClient, prefix: str, path_of: Callable[[str, str], str]) -> None:
    """Every URL in every answer begins with the prefix."""

    async def ask(method: str, path: str, **options: Any) -> httpx.Response:
        return await client.request(method, path_of(prefix, path), **options)

    page = (await ask("GET", "/docs")).text
    assert f"'{prefix}/openapi.json'" in page
    assert f'src="{prefix}/docs/assets/swagger-ui-bundle.js' in page
    assert f'href="{prefix}/docs/assets/swagger-ui.css' in page
    assert (await ask("GET", "/docs/assets/swagger-ui.css")).status_code == 200
    assert (await ask("GET", "/")).headers["Location"] == f"{prefix}/docs"
    assert (await ask("GET", "/openapi.json")).json()["servers"] == [{"url": prefix}]
    for name in ("A", "B"):
        created = await ask("POST", "/animals", json={"name": name})
        assert created.headers["Location"] == f"{prefix}/animals/{created.json()['id']}"
    more = (await ask("GET", "/animals?limit=1")).links["next"]["url"]
    assert more.startswith(f"{prefix}/animals?")
    assert (await ask("OPTIONS", "/animals")).headers["Allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await ask("GET", "/nothing")).status_code == 404


async def test_by_setting(below: Served, path_of: Callable[[str, str], str]) -> None:
    await check(below.client("admin"), "/zoo", path_of)


async def test_by_a_proxys_header(app: Served, path_of: Callable[[str, str], str]) -> None:
    client = app.client("admin")
    client.headers.update(BELOW)
    await check(client, "/parks/zoo", path_of)


async def test_a_proxys_header_takes_precedence_over_the_setting(below: Served) -> None:
    client = below.client("admin")
    assert (await client.get("/", headers=BELOW)).headers["Location"] == "/parks/zoo/docs"
    assert (await client.get("/")).headers["Location"] == "/zoo/docs"
    assert (await client.get("/openapi.json", headers=BELOW)).json()["servers"] == [{"url": "/parks/zoo"}]
    assert (await client.get("/openapi.json")).json()["servers"] == [{"url": "/zoo"}]


async def test_the_bare_prefix_redirects_to_the_docs(below: Served) -> None:
    assert (await below.client().get("/zoo")).headers["Location"] == "/zoo/docs"


async def test_a_path_that_only_begins_like_the_prefix_is_another_path(below: Served) -> None:
    assert (await below.client().get("/zoology/animals")).status_code == 404


async def test_only_the_header_of_a_trusted_proxy_counts(serve_here: Serve) -> None:
    for trusted, client, location in (
        ("127.0.0.1", ("127.0.0.1", 1), "/parks/zoo/docs"),
        ("10.0.0.0/8, ::1", ("10.1.2.3", 1), "/parks/zoo/docs"),
        ("*", ("192.0.2.1", 1), "/parks/zoo/docs"),
        ("127.0.0.1", ("192.0.2.1", 1), "/docs"),
        ("10.0.0.0/8", ("127.0.0.1", 1), "/docs"),
    ):
        served = serve_here(create_app(Settings(forwarded_allow_ips=trusted)))
        answer = await served.client(client=client).get("/", headers=BELOW)
        assert answer.headers["Location"] == location, (trusted, client)


async def test_a_header_that_is_not_a_path_is_ignored(anonymous: httpx.AsyncClient) -> None:
    page = (await anonymous.get("/docs")).text
    for prefix in (
        "//evil.example", "/", "", "zoo", "/zoo/", "/zoo//x", "https://evil.example", "/zoo?x", "/zoo#x", "/../x", "/.",
        "/a/..", '/zoo"><script>', "/zoo'", "/%2f", "/a b", "/a\\b", "/a;b", "/ä", "/zoo, /x", "/" + "x" * 65, "/x" * 9,
    ):  # fmt: skip
        headers = [(b"X-Forwarded-Prefix", prefix.encode("latin-1"))]
        answer = await anonymous.get("/", headers=headers)
        assert (answer.status_code, answer.headers["Location"]) == (307, "/docs"), prefix
        assert (await anonymous.get("/docs", headers=headers)).text == page, prefix


@each("prefix", ["zoo", "/zoo/", "/zoo\n", "/zoo\r\nX: y"])
def test_a_setting_that_is_not_a_path_is_refused_at_start(prefix: str) -> None:
    """By the same rule as a header."""
    with pytest.raises(ValidationError, match="write a path such as /zoo"):
        Settings(root_path=prefix)


async def test_the_log_has_the_path_without_the_prefix(below: Served, log: Callable[[], list[Log]]) -> None:
    client = below.client()
    for path in ("/zoo/animals", "/animals", "/zoo/health", "/health/ready", "/zoo/docs/assets/swagger-ui.css"):
        await client.get(path)
    lines = [line["path"] for line in log() if line["event"] == "request"]
    assert lines == ["/animals", "/animals", "/docs/assets/swagger-ui.css"]
