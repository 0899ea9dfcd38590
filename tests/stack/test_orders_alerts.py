"""Orders that keepers leave alone are told; the dashboard of orders."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.rounds import ROUNDS
from tests.stack.observed import alerts, is_told, until, without_data
from tests.stack.stack import Stack
from tests.stack.test_orders import SERVICE

pytestmark = pytest.mark.skipif(ROUNDS != "full", reason="on the stack of test_alerts.py: it asks for ROUNDS=full")


@pytest.fixture
def selling(observed: Stack, tmp_path: Path) -> Iterator[Stack]:
    """With a payments service and a kitchen."""
    override = tmp_path / "compose.yml"
    override.write_text(json.dumps({"services": {"payments": SERVICE, "kitchen": SERVICE}}))
    with observed.changed(override, PAYMENTS_URL="http://payments:3000", KITCHEN_URL="http://kitchen:3000"):
        observed.compose("up", "--detach", "--wait", "payments", "kitchen", "api")
        yield observed


def order(client: httpx.Client) -> str:
    """The path of a new order."""
    items = [{"product": "Lemonade", "size": "small", "quantity": 1}]
    return client.post("/orders", json={"order": items}).raise_for_status().headers["Location"]


def test_an_order_that_needs_attention_is_told_until_it_needs_none_and_each_panel_has_data(selling: Stack) -> None:
    with selling.client() as client:
        client.post(f"{order(client)}/pay").raise_for_status()
        order(client)
        assert without_data(selling, "orders") == set()
        selling.sql("postgres", "UPDATE orders SET attention = 'declined'")
        is_told(selling, "OrdersNeedAttention", r"\| declined")
        selling.sql("postgres", "UPDATE orders SET attention = NULL")
        until(lambda: "OrdersNeedAttention" not in alerts(selling))
