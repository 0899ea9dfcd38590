"""Orders on the stack, with a payments service and a kitchen beside it."""

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
    override.write_text(json.dumps({"services": {"payments": SERVICE, "kitchen": SERVICE}}))
    with (
        stack.changed(override, PAYMENTS_URL="http://payments:3000", KITCHEN_URL="http://kitchen:3000"),
        stack.client() as keeper,
        httpx.Client(base_url=stack.address, timeout=PATIENCE) as visitor,
    ):
        stack.compose("up", "--detach", "--wait", "--no-deps", "payments", "kitchen", "api")
        account = {"email": "orders@visitors.example", "password": PASSWORD}
        assert visitor.post("/auth/register", json=account).status_code == 201
        form = {"username": account["email"], "password": PASSWORD}
        assert visitor.post("/auth/cookie/login", data=form).status_code == 204
        items = [{"product": "Lemonade", "size": "big", "quantity": 2}]
        new = [visitor.post("/orders", json={"order": items}, headers={"Idempotency-Key": "once"}) for _ in range(2)]
        assert new[0].content == new[1].content
        path, order_id = new[0].headers["Location"], new[0].json()["id"]
        assert visitor.post(f"{path}/pay").json()["status"] == "paid"
        assert visitor.put(path, json={"order": items}).status_code == 409
        assert visitor.post(f"{path}/advance").status_code == 403
        steps = [keeper.post(f"{path}/advance").json()["status"] for _ in range(3)]
        assert steps == ["progress", "dispatched", "delivered"]
        assert visitor.get("/orders").json()["orders"] == [new[0].json() | {"status": "delivered"}]
        events = keeper.get(f"{path}/events").json()["events"]
        assert [event["to"] for event in events] == ["created", "paid", *steps]
        assert asked(stack, "payments") == [["/payments", order_id]]
        assert asked(stack, "kitchen") == [["/kitchen/schedules", order_id]]
        # Cancelling an order also cancels it in the kitchen; while that is down, it is not cancelled at all.
        path = visitor.post("/orders", json={"order": items}).headers["Location"]
        assert visitor.post(f"{path}/pay").status_code == 200
        stack.compose("stop", "--timeout", "0", "kitchen")
        assert visitor.post(f"{path}/cancel").status_code == 502
        assert visitor.get(path).json()["status"] == "paid"
        stack.compose("up", "--detach", "--wait", "kitchen")
        assert visitor.post(f"{path}/cancel").json()["status"] == "cancelled"
        assert asked(stack, "kitchen")[-1][0].endswith("/cancel")


def asked(stack: Stack, service: str) -> list[list[str]]:
    """The requests to the external service: path and idempotency key."""
    read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:3000/').read().decode())"
    found: list[list[str]] = json.loads(stack.exec(service, "python3", "-c", read).stdout)
    return found
