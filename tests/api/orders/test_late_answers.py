"""Answers of a service that come after the claim has run out, when another attempt has it, or has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.orders.ordering import bring, events_of, order
from tests.api.orders.outside import Outside
from tests.conftest import Log, answering
from tests.users import KEEPER, VISITOR

pytestmark = pytest.mark.usefixtures("no_backoff")

ROW = (
    "SELECT status, is_being_paid, payment_id, schedule_id, payments_refused, attention,"
    " claimed_until > now() + interval '30 s' AS is_anothers FROM orders"
)
CLAIMED_BY_ANOTHER = "UPDATE orders SET claimed_until = now() + interval '1 minute'"
CANCELLED = "UPDATE orders SET status = 'cancelled', is_being_paid = false, claimed_until = NULL"
PAID = "UPDATE orders SET status = 'paid', is_being_paid = false, claimed_until = NULL"
GONE = "DELETE FROM order_events; DELETE FROM order_items; DELETE FROM orders"


@pytest.fixture
async def shop(server: Server, database: str, payments: Outside, kitchen: Outside) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        database_url=server.url("zoo_api", database), payments_url=payments.url, kitchen_url=kitchen.url
    )
    async with answering(create_app(settings)) as client:
        yield client


async def late(
    client: httpx.AsyncClient, service: Outside, admin: asyncpg.Connection, meanwhile: str, action: str = ""
) -> tuple[str, httpx.Response, dict[str, Any]]:
    """The order, the answer, and the row, after a service has answered late, to the payment of a new order or to this
    action, such as /orders/.../cancel.
    """
    path, _, action = (action or f"{await order(client)}/pay").rpartition("/")
    service.arrived.clear()
    service.script.append("hold")
    asked = asyncio.create_task(client.post(f"{path}/{action}", headers=VISITOR))
    await service.arrived.wait()
    await admin.execute(meanwhile)
    service.go.set()
    answer = await asked
    return path, answer, dict(await admin.fetchrow(ROW) or {})


def errors(log: Callable[[], list[Log]]) -> list[str]:
    return [line["event"] for line in log() if line["level"] == "error"]


class TestPayment:
    async def test_one_that_is_pending_leaves_the_claim_of_another(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        payments.payment = "pending"
        _, answer, row = await late(shop, payments, admin, CLAIMED_BY_ANOTHER)
        assert (answer.status_code, answer.json()["status"]) == (200, "created")
        assert (row["is_anothers"], row["is_being_paid"]) == (True, True)

    async def test_a_refusal_that_is_known_already_does_not_end_the_next_payment(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        payments.payment = "invalid"
        _, answer, row = await late(shop, payments, admin, f"{CLAIMED_BY_ANOTHER}, payments_refused = 1")
        assert answer.status_code == 409
        assert (row["is_anothers"], row["is_being_paid"], row["payments_refused"]) == (True, True, 1)

    @pytest.mark.parametrize(
        ("meanwhile", "left"),
        [
            (f"{CANCELLED}, attention = 'look'", {"is_being_paid": False, "attention": "look"}),
            (f"{CLAIMED_BY_ANOTHER}, payment_id = 'first'", {"is_being_paid": True, "payment_id": "first"}),
        ],
        ids=["cancelled", "paid"],
    )
    async def test_a_refusal_changes_nothing_of_an_order_that_is_not_to_be_paid_any_more(
        self,
        shop: httpx.AsyncClient,
        payments: Outside,
        admin: asyncpg.Connection,
        meanwhile: str,
        left: dict[str, Any],
    ) -> None:
        payments.payment = "invalid"
        _, answer, row = await late(shop, payments, admin, meanwhile)
        assert answer.status_code == 409
        assert row.items() >= {"payments_refused": 0, **left}.items()

    async def test_a_failure_leaves_the_claim_of_another(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await order(shop)
        payments.always[path.rpartition("/")[2]] = "hold"
        asked = asyncio.create_task(shop.post(f"{path}/pay", headers=VISITOR))
        await payments.arrived.wait()
        await admin.execute(CLAIMED_BY_ANOTHER)
        payments.hang_up()
        assert (await asked).status_code == 502
        row = await admin.fetchrow(ROW)
        assert (row["is_anothers"], row["is_being_paid"], row["attention"]) == (True, True, None)

    @pytest.mark.parametrize(
        ("paid", "payment"), [("payment_id = 'first'", "first"), ("is_paid_at_till = true", None)], ids=["", "at till"]
    )
    async def test_a_second_payment_of_one_order_is_reported_and_the_first_stays(  # noqa: PLR0913, PLR0917 - fixtures
        self,
        shop: httpx.AsyncClient,
        payments: Outside,
        admin: asyncpg.Connection,
        log: Callable[[], list[Log]],
        paid: str,
        payment: str | None,
    ) -> None:
        _, _, row = await late(shop, payments, admin, f"{CLAIMED_BY_ANOTHER}, {paid}")
        assert row["payment_id"] == payment
        assert errors(log) == ["order paid twice"]

    async def test_one_that_another_attempt_has_got_too_is_no_error(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection, log: Callable[[], list[Log]]
    ) -> None:
        path = await order(shop)
        payments.done["/payments", path.rpartition("/")[2]] = {"payment_id": "theirs", "status": "paid"}
        _, answer, row = await late(shop, payments, admin, f"{PAID}, payment_id = 'theirs'", f"{path}/pay")
        assert (answer.json()["status"], row["status"]) == ("paid", "paid")
        assert errors(log) == []

    async def test_one_for_an_order_that_is_removed_for_good_is_404(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        _, answer, _ = await late(shop, payments, admin, GONE)
        assert answer.status_code == 404

    @pytest.mark.parametrize(
        ("gone", "status"), [(CANCELLED, "cancelled"), (f"{CANCELLED}, deleted_at = now()", "cancelled"),
        ("UPDATE orders SET deleted_at = now(), is_being_paid = false, claimed_until = NULL", "created")],
        ids=["cancelled", "cancelled and deleted", "deleted"],
    )  # fmt: skip
    async def test_one_for_an_order_that_is_gone_is_recorded_and_reported(  # noqa: PLR0913, PLR0917 - fixtures
        self,
        shop: httpx.AsyncClient,
        payments: Outside,
        kitchen: Outside,
        admin: asyncpg.Connection,
        log: Callable[[], list[Log]],
        gone: str,
        status: str,
    ) -> None:
        path, answer, row = await late(shop, payments, admin, gone)
        assert (answer.json()["status"], row["status"]) == (status, status)
        assert row["payment_id"] == payments.did("/payments")[0]["payment_id"]
        assert errors(log) == ["payment for an order that is gone"]
        assert kitchen.calls == []
        if "deleted_at" not in gone:
            assert await events_of(shop, path) == [(None, "created")]


class TestKitchen:
    async def test_it_has_a_claim_of_its_own_however_long_the_payment_took(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        """Each lasts 15 s: a call ends after 8, and its result has to be stored."""
        path = await order(shop)
        for service in (payments, kitchen):
            service.script.append("hold")
        asked = asyncio.create_task(shop.post(f"{path}/pay", headers=VISITOR))
        for service in (payments, kitchen):
            await service.arrived.wait()
            lasts = await admin.fetchval("SELECT claimed_until - updated_at FROM orders")
            assert 12 < lasts.total_seconds() <= 15
            await admin.execute("UPDATE orders SET claimed_until = claimed_until - interval '10 s'")  # as if it took 10
            service.go.set()
        assert (await asked).status_code == 200
        assert await admin.fetchval("SELECT claimed_until FROM orders") is None

    async def test_what_another_attempt_has_scheduled_stays_and_it_is_reported(
        self,
        shop: httpx.AsyncClient,
        kitchen: Outside,
        admin: asyncpg.Connection,
        log: Callable[[], list[Log]],
    ) -> None:
        done = "UPDATE orders SET status = 'paid', is_being_paid = false, claimed_until = NULL, schedule_id = 'first'"
        _, answer, row = await late(shop, kitchen, admin, done)
        assert (answer.json()["status"], row["schedule_id"]) == ("paid", "first")
        assert errors(log) == ["order scheduled twice"]

    async def test_what_another_attempt_has_scheduled_under_the_same_key_is_no_error(
        self, shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection, log: Callable[[], list[Log]]
    ) -> None:
        path = await order(shop)
        kitchen.done["/kitchen/schedules", path.rpartition("/")[2]] = {"id": "theirs", "status": "pending"}
        _, answer, _ = await late(shop, kitchen, admin, f"{PAID}, schedule_id = 'theirs'", f"{path}/pay")
        assert (answer.status_code, answer.json()["status"]) == (200, "paid")
        assert errors(log) == []

    async def test_what_is_cancelled_there_and_removed_for_good_meanwhile_is_409(
        self, shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        _, answer, _ = await late(shop, kitchen, admin, GONE, f"{await bring(shop, 'paid')}/cancel")
        assert answer.status_code == 409

    async def test_what_fails_to_be_cancelled_there_and_is_removed_for_good_meanwhile_is_502(
        self, shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await bring(shop, "paid")
        kitchen.arrived.clear()
        kitchen.always[path.rpartition("/")[2]] = "hold"
        asked = asyncio.create_task(shop.post(f"{path}/cancel", headers=VISITOR))
        await kitchen.arrived.wait()
        await admin.execute(GONE)
        kitchen.hang_up()
        assert (await asked).status_code == 502

    async def test_an_order_that_was_dispatched_meanwhile_is_not_cancelled(
        self, shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await bring(shop, "progress")
        _, answer, row = await late(shop, kitchen, admin, "UPDATE orders SET status = 'dispatched'", f"{path}/cancel")
        assert (answer.status_code, row["status"]) == (409, "dispatched")
        assert "was advanced" in answer.json()["detail"]

    async def test_one_that_fails_to_cancel_leaves_the_claim_of_another(
        self, shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await bring(shop, "paid")
        kitchen.arrived.clear()
        kitchen.always[path.rpartition("/")[2]] = "hold"
        asked = asyncio.create_task(shop.post(f"{path}/cancel", headers=VISITOR))
        await kitchen.arrived.wait()
        await admin.execute(CLAIMED_BY_ANOTHER)
        kitchen.hang_up()
        assert (await asked).status_code == 502
        assert (await admin.fetchrow(ROW))["is_anothers"]

    async def test_a_cancelled_order_is_claimed_by_nobody(
        self, shop: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        path = await bring(shop, "paid")
        assert (await shop.post(f"{path}/cancel", headers=KEEPER)).status_code == 200
        assert await admin.fetchval("SELECT claimed_until FROM orders") is None
