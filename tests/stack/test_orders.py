"""Orders on the stack, with a payments service and a kitchen beside it, which are one server."""

import json
from pathlib import Path

import httpx

from tests.conftest import ROOT
from tests.stack.stack import PATIENCE, PREFIX, RELEASE, Stack
from tests.users import PASSWORD

CONNECT = "import socket; socket.create_connection(('127.0.0.1', 3000), timeout=3)"
SERVICE = {
    "image": f"{PREFIX}api:{RELEASE}",
    "command": ["python3", "-c", (ROOT / "tests" / "stack" / "orders_outside.py").read_text(), "3000"],
    "healthcheck": {"test": ["CMD", "python3", "-ISc", CONNECT], "start_period": "5m", "start_interval": "1s"},
}


def test_an_order_goes_from_created_to_delivered_with_both_external_services(
    stack_to_change: Stack, tmp_path: Path
) -> None:
    stack = stack_to_change
    override = tmp_path / "compose.yml"
    override.write_text(json.dumps({"services": {"outside": SERVICE}}))
    with (
        stack.changed(override, PAYMENTS_URL="http://outside:3000", KITCHEN_URL="http://outside:3000"),
        stack.client() as keeper,
        httpx.Client(base_url=stack.address, timeout=PATIENCE) as visitor,
    ):
        stack.compose("up", "--detach", "--wait", "--no-deps", "outside", "api")
        account = {"email": "orders@visitors.example", "password": PASSWORD}
        assert visitor.post("/auth/register", json=account).status_code == 201
        form = {"username": account["email"], "password": PASSWORD}
        assert visitor.post("/auth/cookie/login", data=form).status_code == 204
        items = [{"product": "Lemonade", "size": "big", "quantity": 2}]
        new = visitor.post("/orders", json={"order": items})
        path, order_id = new.headers["Location"], new.json()["id"]
        assert visitor.post(f"{path}/pay").json()["status"] == "paid"
        steps = [keeper.post(f"{path}/advance").json()["status"] for _ in range(3)]
        assert steps == ["progress", "dispatched", "delivered"]
        assert visitor.get("/orders").json()["orders"] == [new.json() | {"status": "delivered"}]
        assert asked(stack) == [["/payments", order_id], ["/kitchen/schedules", order_id]]


def asked(stack: Stack) -> list[list[str]]:
    """The requests to the external services: path and idempotency key."""
    read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:3000/').read().decode())"
    found: list[list[str]] = json.loads(stack.exec("outside", "python3", "-c", read).stdout)
    return found
