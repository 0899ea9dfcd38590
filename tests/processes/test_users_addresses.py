"""By which address attempts to sign in are counted, on the wire."""

from pathlib import Path

import asyncpg
import httpx

from api.crud import throttles
from local.postgres import Server
from tests.processes.test_gunicorn import serving
from tests.processes.test_wire import FORM, GET, HOST, LAST, Api, api, statuses, with_body

__all__ = ["api"]  # a fixture


async def test_an_address_of_ipv4_is_the_same_on_a_socket_for_both(
    server: Server, database: str, admin: asyncpg.Connection, free_port: int, tmp_path: Path
) -> None:
    """The proxies that FORWARDED_ALLOW_IPS names would not be known otherwise."""
    form = {"username": "nobody@zoo.example", "password": "wrong"}
    with serving(server.environment(database), free_port, tmp_path):
        login = f"http://127.0.0.1:{free_port}/auth/jwt/login"
        httpx.post(login, data=form, headers={"X-Forwarded-For": "203.0.113.7"}, verify=False)
    assert throttles.key("address", "203.0.113.7") in [
        row["key"] for row in await admin.fetch("SELECT * FROM throttles")
    ]


def test_a_client_that_offers_http_2_can_sign_in(api: Api) -> None:
    head, body = with_body(
        f"POST /auth/jwt/login HTTP/1.1\r\n{HOST}{FORM}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
        "username=keeper%40zoo.example&password=wrong",
    )
    assert statuses(api.send(head + body + GET + LAST + "\r\n")) == [400, 200]


async def test_trailers_are_not_headers(api: Api) -> None:
    """Nor can they set a client's address, which a proxy sends."""
    head = f"POST /auth/jwt/login HTTP/1.1\r\n{HOST}{FORM}{LAST}Transfer-Encoding: chunked\r\n\r\n"
    body = "username=nobody%40zoo.example&password=wrong"
    trailers = "X-Forwarded-For: 203.0.113.7\r\nAuthorization: Bearer admin\r\n"
    assert statuses(api.send(f"{head}{len(body):x}\r\n{body}\r\n0\r\n{trailers}\r\n")) == [400]
    counted = {row["key"] for row in await api.admin.fetch("SELECT key FROM throttles")}
    by_address = {throttles.key("address", address): address for address in ("127.0.0.1", "203.0.113.7")}
    assert [by_address[key] for key in counted & by_address.keys()] == ["127.0.0.1"]
