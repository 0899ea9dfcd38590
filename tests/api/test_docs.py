"""/docs in a real browser that can reach the api and nothing else, and what it is made from."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Route, sync_playwright

from local.postgres import Server
from tests.api.live import live_api
from tests.conftest import PASSWORD, ROOT, email_of, signed_in

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


# The page, an operation of it, and one that is not there; what to see after its example was sent.
PAGES = [
    ("/docs", "Zoo", "animals-animals-create_animal", None, "/animals"),
    ("/docs/orders", "Zoo: orders", "orders-orders-create_order", "animals-animals-create_animal", "/orders"),
]


@pytest.fixture
def address(server: Server, database: str, free_port: int) -> Iterator[str]:
    with live_api(server.environment(database), free_port) as address:
        yield address


@pytest.mark.parametrize("case", PAGES, ids=lambda case: case[0])
def test_swagger_ui_works_without_internet(address: str, case: tuple[str, str, str, str | None, str]) -> None:
    path, title, shown, hidden, resource = case
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine")
    foreign, problems = [], []

    def only_the_api(route: Route) -> None:
        if route.request.url.startswith((f"{address}/", "data:")):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.route("**/*", only_the_api)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address if path == "/docs" else address + path)  # the bare address leads to /docs
        page.wait_for_selector(f"#operations-{shown}")
        assert page.url == address + path
        assert page.title() == f"{title} - Swagger UI"
        assert hidden is None or page.locator(f"#operations-{hidden}").count() == 0
        # Use it as a reader would: sign in, open an operation, try it with the example as it stands.
        page.locator(".auth-wrapper .authorize").first.click()
        dialog = page.locator(".auth-container", has_text="OAuth2PasswordBearer")
        dialog.locator("#oauth_username").fill(email_of("keeper"))
        dialog.locator("#oauth_password").fill(PASSWORD)
        dialog.locator("button.authorize").click()
        dialog.locator("h6", has_text="Authorized").wait_for()
        page.locator(".modal-ux button.btn-done").first.click()
        operation = page.locator(f"#operations-{shown}")
        operation.locator(".opblock-summary").click()
        operation.locator("button.try-out__btn").click()
        operation.locator("button.execute").click()
        assert operation.locator(".live-responses-table .response .response-col_status").inner_text() == "201"
        browser.close()
    made = httpx.get(address + resource, headers=signed_in("keeper")).json()
    assert (made[0]["name"] if path == "/docs" else made["orders"][0]["order"][0]["product"]) in {"Amara", "Lemonade"}
    assert foreign == []
    assert problems == []


async def test_behind_a_proxy_with_a_prefix_every_url_has_it(app: FastAPI) -> None:
    transport = httpx.ASGITransport(app, root_path="/zoo")
    client = httpx.AsyncClient(transport=transport, base_url="http://zoo.test", headers=signed_in("admin"))
    page = (await client.get("/docs")).text
    assert "'/zoo/openapi.json'" in page
    assert 'src="/zoo/docs/assets/swagger-ui-bundle.js' in page
    orders = (await client.get("/docs/orders")).text
    assert "'/zoo/openapi/orders.json'" in orders
    assert (await client.get("/openapi/orders.json")).json()["servers"] == [{"url": "/zoo"}]
    created = await client.post("/animals", json={"name": "A"})
    assert created.headers["Location"] == f"/zoo/animals/{created.json()['id']}"
    await client.post("/animals", json={"name": "B"})
    assert (await client.get("/animals?limit=1")).links["next"]["url"].startswith("/zoo/animals?")


class TestDocument:
    @pytest.fixture
    async def document(self, client: httpx.AsyncClient) -> dict[str, Any]:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
        return document

    async def test_operation_ids_are_tag_and_function(self, document: dict[str, Any]) -> None:
        ids = {o["operationId"] for path in document["paths"].values() for o in path.values()}
        assert {"animals-list_animals", "staff-create_staff_member", "health-read_readiness"} <= ids
        assert len(ids) == sum(len(path) for path in document["paths"].values())

    async def test_every_schema_has_an_example(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert [name for name, schema in schemas.items() if not schema.keys() & {"examples", "enum"}] == []

    async def test_every_operation_says_what_it_does_and_how_it_can_fail(self, document: dict[str, Any]) -> None:
        for path in document["paths"].values():
            for operation in path.values():
                assert operation["description"]
                assert {"422", "503"} <= operation["responses"].keys()
                for status, response in operation["responses"].items():
                    assert status == "204" or response["content"]["application/json"]["schema"], (
                        operation["operationId"],
                        status,
                    )

    def test_the_command_writes_the_same_document(self, document: dict[str, Any]) -> None:
        done = subprocess.run([sys.executable, "-m", "api", "openapi"], cwd=ROOT, capture_output=True, check=True)
        assert json.loads(done.stdout) == document


async def test_the_orders_have_a_document_of_their_own_that_is_whole(client: httpx.AsyncClient) -> None:
    whole = (await client.get("/openapi.json")).json()
    part = (await client.get("/openapi/orders.json")).json()
    assert part["paths"] == {path: found for path, found in whole["paths"].items() if path.startswith("/orders")}
    assert part["info"] == {"title": "Zoo: orders", "version": whole["info"]["version"]}
    referred = set(re.findall(r'"#/components/schemas/(.*?)"', json.dumps(part)))
    assert part["components"]["schemas"] == {name: whole["components"]["schemas"][name] for name in referred}
    schemes = {name for path in part["paths"].values() for o in path.values() for use in o["security"] for name in use}
    assert schemes == part["components"]["securitySchemes"].keys()
    order = part["components"]["schemas"]["OrderRead"]
    assert (order["properties"].keys(), order["additionalProperties"]) == ({"id", "created", "status", "order"}, False)
