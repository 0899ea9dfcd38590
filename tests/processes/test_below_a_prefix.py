"""Below a path of a real nginx, which also serves other things: behind it, gunicorn as in production."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from local.postgres import Server
from tests.bearer import bearer
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.processes.nginx import ADDRESS, nginx
from tests.python import HANGS
from tests.users import PASSWORD, email_of

# nginx strips the path of a location if proxy_pass has a path, even just "/".
LOCATIONS = {
    "/zoo": "proxy_pass http://{api}/;",  # as in the setting
    "/parks/stripped": "proxy_pass http://{api}/; proxy_set_header X-Forwarded-Prefix /parks/stripped;",
    "/parks/kept": "proxy_pass http://{api}; proxy_set_header X-Forwarded-Prefix /parks/kept;",
}
KEEPER = bearer("keeper")


def test_below_each_of_its_paths_every_link_leads_on(server: Server, database: str, tmp_path: Path) -> None:
    port = find_free_port()
    locations = {f"{path}/": what.format(api=f"127.0.0.1:{port}") for path, what in LOCATIONS.items()}
    settings = {"ROOT_PATH": "/zoo", "FORWARDED_ALLOW_IPS": ADDRESS, **server.environment(database)}
    with gunicorn(settings, port, tmp_path / "log"), nginx(tmp_path, locations) as address:
        for prefix in LOCATIONS:
            with httpx.Client(base_url=address, timeout=HANGS) as client:
                check(client, prefix)

        # A client that bypasses the proxy can send any prefix and address: they have no effect.
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=HANGS) as client:
            lies = {"X-Forwarded-Prefix": "/evil", "X-Forwarded-For": ADDRESS}
            assert client.get("/", headers=lies).headers["Location"] == "/zoo/docs"
            assert client.get("/health/ready").status_code == 200


def check(client: httpx.Client, prefix: str) -> None:
    def ask(method: str, path: str, **options: Any) -> httpx.Response:
        answer = client.request(method, path, **options)
        assert answer.is_success, (method, path, answer.text)
        return answer

    led = client.get(f"{prefix}/")
    assert (led.status_code, led.headers["Location"]) == (307, f"{prefix}/docs")
    page = ask("GET", led.headers["Location"])
    for path in re.findall(r"""(?:src|href)="(.*?)"|url: '(.*?)'""", page.text):
        found = ask("GET", "".join(path))
        assert found.headers["X-Content-Type-Options"] == "nosniff"
    document = ask("GET", f"{prefix}/openapi.json").json()
    assert document["servers"] == [{"url": prefix}]
    sign_in = document["components"]["securitySchemes"]["OAuth2PasswordBearer"]["flows"]["password"]["tokenUrl"]
    form = {"username": email_of("keeper"), "password": PASSWORD}
    ask("POST", urljoin(f"{prefix}/docs", sign_in), data=form)  # as Swagger UI resolves it
    ask("POST", f"{prefix}/auth/cookie/login", data=form)
    assert [cookie.path for cookie in client.cookies.jar] == [prefix]

    made = [ask("POST", f"{prefix}/animals", json={"name": name}) for name in ("A", "B")]
    tag = ask("GET", made[0].headers["Location"]).headers["ETag"]
    assert client.get(made[0].headers["Location"], headers={"If-None-Match": tag}).status_code == 304
    changed = ask("PATCH", made[0].headers["Location"], json={"name": "C"}, headers={"If-Match": tag})
    assert changed.json()["name"] == "C"
    listed = ask("GET", f"{prefix}/animals?limit=1")
    assert ask("GET", listed.links["next"]["url"]).json()
    assert ask("HEAD", made[1].headers["Location"]).content == b""
    ask("POST", f"{prefix}/auth/cookie/logout")
    assert not client.cookies
