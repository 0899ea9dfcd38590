"""/docs in a real browser that can reach the api and nothing else; and below a path of a proxy."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Route, sync_playwright

from local.postgres import Server
from tests.bearer import bearer
from tests.processes.live import live_api
from tests.processes.nginx import ADDRESS, nginx
from tests.python import HANGS
from tests.users import PASSWORD, email_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


# The path below which the api is, the page, one of its operations, and one that it must not have; after the example was
# sent, what shows a word of it.
Case = tuple[str, str, str, str, str | None, str, str]
ANIMAL = "animals-animals-create_animal"
PAGES: list[Case] = [
    ("", "/docs", "Zoo", ANIMAL, None, "/animals", "Amara"),
    ("/zoo", "/docs/orders", "Zoo: orders", "orders-orders-create_order", ANIMAL, "/orders", "Lemonade"),
]


@contextmanager
def proxied(address: str, prefix: str, folder: Path) -> Iterator[str]:
    """The address of the api, through a proxy where there is a prefix."""
    if not prefix:
        yield address
        return
    with nginx(
        folder, {f"{prefix}/": f"proxy_pass {address}/; proxy_set_header X-Forwarded-Prefix {prefix};"}
    ) as proxy:
        yield f"{proxy}{prefix}"


@pytest.fixture
def api(server: Server, database: str, free_port: int) -> Iterator[str]:
    with live_api(server.environment(database) | {"FORWARDED_ALLOW_IPS": ADDRESS}, free_port) as address:
        yield address


def test_swagger_ui_works_without_internet_and_within_its_policy(api: str, tmp_path: Path) -> None:
    if CHROMIUM is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for case in PAGES:
            with proxied(api, case[0], tmp_path) as address:
                use(browser, address, case)
        browser.close()


def use(browser: Browser, address: str, case: Case) -> None:
    _, path, title, shown, hidden, resource, word = case
    foreign, problems = [], []

    def only_the_api(route: Route) -> None:
        if route.request.url.startswith((f"{address}/", "data:")):
            route.continue_()
        else:
            foreign.append(route.request.url)
            route.abort()

    page = browser.new_page()
    page.set_default_timeout(1000 * HANGS)
    page.route("**/*", only_the_api)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    opened = page.goto(f"{address}/" if path == "/docs" else address + path)  # / redirects to /docs
    assert opened is not None
    assert "unsafe" not in opened.headers["content-security-policy"]  # a violation is a problem below
    page.wait_for_selector(f"#operations-{shown}")
    assert page.url == address + path
    assert page.title() == f"{title} - Swagger UI"
    assert hidden is None or page.locator(f"#operations-{hidden}").count() == 0
    # Use it as a reader would: sign in, open an operation, send the example unchanged.
    page.locator(".auth-wrapper .authorize").first.click()
    page.locator("#oauth_username").wait_for()
    assert page.evaluate("document.activeElement.id") == "oauth_username"
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
    page.close()
    assert word in httpx.get(address + resource, headers=bearer("keeper"), timeout=HANGS).text
    assert foreign == []
    assert problems == []
