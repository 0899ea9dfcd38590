"""Users of the whole stack: who makes them, what they may, and when their tokens end."""

import socket
import subprocess
import time

import httpx

from api.crud import throttles
from tests.conftest import ROOT
from tests.stack.stack import PATIENCE, Stack
from tests.stack.users import sign_in
from tests.users import PASSWORD


def test_an_admin_is_made_by_make(stack: Stack) -> None:
    command = ["make", "--silent", "admin", "EMAIL=zuri@zoo.example"]
    done = subprocess.run(
        command, cwd=ROOT, env=stack.environment | stack.names,
        input=PASSWORD, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.stdout == "zuri@zoo.example is a user of type admin\n", done.stderr
    assert sign_in(stack, "zuri@zoo.example").status_code == 200


def test_a_new_user_is_a_visitor_until_an_admin_changes_that(stack: Stack) -> None:
    stack.sql("postgres", "DELETE FROM throttles")  # from sign-ins in other tests
    account = {"email": "zuri@visitors.example", "password": PASSWORD}
    with stack.client() as admin, httpx.Client(base_url=stack.address, timeout=PATIENCE) as visitor:
        assert visitor.post("/animals", json={"name": "Amara"}).status_code == 401
        assert visitor.post("/auth/register", json=account).status_code == 201
        form = {"username": account["email"], "password": PASSWORD}
        assert visitor.post("/auth/cookie/login", data=form).status_code == 204
        assert visitor.get("/users/me").json()["type"] == "visitor"
        assert visitor.post("/animals", json={"name": "Amara"}).status_code == 403
        assert visitor.get("/animals.csv").status_code == 403
        user = visitor.get("/users/me").json()["id"]
        assert admin.patch(f"/users/{user}", json={"type": "keeper"}).status_code == 200
        assert visitor.post("/animals", json={"name": "Amara"}).status_code == 201
        assert visitor.post("/auth/forgot-password", json={"email": account["email"]}).status_code == 202
        deadline = time.monotonic() + PATIENCE
        while "POST /auth/reset-password" not in stack.logs("api"):  # no SMTP_URL is set
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert visitor.post("/auth/cookie/logout").status_code == 204
        assert visitor.get("/users/me").status_code == 401


def test_a_trailer_cannot_set_a_clients_address(replicas: Stack) -> None:
    """A client that could do that would evade the limits on signing in."""
    form = b"username=nobody%40zoo.example&password=wrong"
    with socket.create_connection(("127.0.0.1", replicas.port), timeout=PATIENCE) as connection:
        connection.sendall(
            b"POST /auth/jwt/login HTTP/1.1\r\nHost: zoo\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\nTrailer: X-Forwarded-For\r\n\r\n"
            b"%x\r\n%b\r\n0\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n" % (len(form), form)
        )
        assert connection.recv(12) == b"HTTP/1.1 400"
    counted = replicas.sql("postgres", "SELECT key FROM throttles").stdout.split()
    assert counted
    assert throttles.key("address", "203.0.113.7") not in counted
