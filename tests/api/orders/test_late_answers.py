"""Answers of a service that come after the claim has run out, when another attempt has it, or has ended."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from api.crud.orders import attempts
from api.external_services.json_service import Failure
from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.keeping import admin, database, keeping
from tests.api.orders.ordering import bring, order
from tests.api.orders.outside import Outside
from tests.conftest import Log, answering, state_of
from tests.users import KEEPER, VISITOR

__all__ = ["admin", "database", "keeping"]  # fixtures

pytestmark = pytest.mark.usefixtures("no_backoff")

ROW = (
    "SELECT status, is_being_paid, payment_id, schedule_id, payments_refused, attention,"
    " claimed_until > now() + interval '30 s' AS is_anothers FROM orders"
)
CLAIMED_BY_ANOTHER = "UPDATE orders SET claimed_until = now() + interval '1 minute'"
ENDED = "UPDATE orders SET is_being_paid = false, claimed_until = NULL"
DONE, CANCELLED, DELETED = f"{ENDED}, status = 'paid'", f"{ENDED}, status = 'cancelled'", f"{ENDED}, deleted_at = now()"


@pytest.fixture
async def shop(server: Server, database: str, payments: Outside, kitchen: Outside) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        database_url=server.url("zoo_api", database), payments_url=payments.url, kitchen_url=kitchen.url
    )
    async with answering(create_app(settings)) as client:
        yield client


async def late(
    client: httpx.AsyncClient, service: Outside, admin: asyncpg.Connection, meanwhile: str, path: str | None = None
) -> tuple[str, httpx.Response, dict[str, Any]]:
    """The order, the answer, and the row, after a service has answered late: a payment, or a cancellation of `path`."""
    action, path = ("cancel", path) if path else ("pay", await order(client))
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

    async def test_a_refusal_ends_no_payment_that_another_attempt_has_made(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        payments.payment = "invalid"
        _, answer, row = await late(shop, payments, admin, f"{CLAIMED_BY_ANOTHER}, payment_id = 'first'")
        assert "was refused" in answer.json()["detail"]
        assert (row["is_anothers"], row["is_being_paid"], row["payments_refused"]) == (True, True, 0)

    async def test_after_a_refusal_keepers_still_see_what_is_left_to_them(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        payments.payment = "invalid"
        _, _, row = await late(shop, payments, admin, f"{CANCELLED}, attention = 'look'")
        assert (row["attention"], row["payments_refused"]) == ("look", 0)

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
        ("meanwhile", "first"),
        [
            (f"{CLAIMED_BY_ANOTHER}, payment_id = 'first'", "first"),
            (f"{DONE}, is_paid_at_till = true", None),
        ],
        ids=["a payment", "the till"],
    )
    async def test_a_second_payment_of_one_order_is_reported_and_the_first_stays(  # noqa: PLR0913, PLR0917 - fixtures
        self,
        shop: httpx.AsyncClient,
        payments: Outside,
        admin: asyncpg.Connection,
        log: Callable[[], list[Log]],
        meanwhile: str,
        first: str | None,
    ) -> None:
        _, _, row = await late(shop, payments, admin, meanwhile)
        assert row["payment_id"] == first
        assert errors(log) == ["order paid twice"]

    async def test_one_that_another_attempt_has_recorded_is_no_second_one(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection, log: Callable[[], list[Log]]
    ) -> None:
        payments.same = {"payment_id": "first"}
        _, answer, row = await late(shop, payments, admin, f"{DONE}, payment_id = 'first'")
        assert (answer.json()["status"], row["payment_id"], errors(log)) == ("paid", "first", [])

    @pytest.mark.parametrize(("meanwhile", "status"), [(CANCELLED, "cancelled"), (DELETED, "created")])
    async def test_one_for_an_order_that_is_gone_is_recorded_and_reported(  # noqa: PLR0913, PLR0917 - fixtures
        self,
        shop: httpx.AsyncClient,
        payments: Outside,
        kitchen: Outside,
        admin: asyncpg.Connection,
        log: Callable[[], list[Log]],
        meanwhile: str,
        status: str,
    ) -> None:
        _, answer, row = await late(shop, payments, admin, meanwhile)
        assert (answer.json()["status"], row["status"]) == (status, status)
        assert row["payment_id"] == payments.did("/payments")[0]["payment_id"]
        assert errors(log) == ["payment for an order that is gone"]
        assert kitchen.calls == []
        events = await admin.fetch("SELECT from_status, to_status FROM order_events")
        assert [tuple(event) for event in events] == [(None, "created")]

    async def test_one_for_an_order_that_somebody_has_removed_from_the_database_is_404(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        _, answer, _ = await late(shop, payments, admin, "DELETE FROM orders")
        assert answer.status_code == 404

    async def test_a_failure_that_is_noted_late_changes_no_order_that_is_paid(
        self, shop: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        path = await bring(shop, "paid")
        for _ in range(attempts.TRIES[Failure.FAILED]):
            await attempts.note_failure(state_of(shop).sessionmaker.begin, UUID(path.rpartition("/")[2]), "late")
        assert (await admin.fetchrow(ROW))["attention"] is None


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
        for same, errors_of_it in ({}, ["order scheduled twice"]), ({"id": "first"}, []):
            kitchen.same = same
            kitchen.go.clear()
            before = len(errors(log))
            path, answer, _ = await late(
                shop, kitchen, admin, f"{DONE}, schedule_id = 'first' WHERE status = 'created'"
            )
            schedule = await admin.fetchval("SELECT schedule_id FROM orders WHERE id = $1", path.rpartition("/")[2])
            assert (answer.json()["status"], schedule) == ("paid", "first")
            assert errors(log)[before:] == errors_of_it

    async def test_an_order_that_was_dispatched_meanwhile_is_not_cancelled(
        self, shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await bring(shop, "progress")
        _, answer, row = await late(shop, kitchen, admin, "UPDATE orders SET status = 'dispatched'", path)
        assert (answer.status_code, row["status"]) == (409, "dispatched")
        assert "was advanced" in answer.json()["detail"]

    async def test_a_cancelled_order_that_somebody_has_removed_from_the_database_is_409(
        self, shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await bring(shop, "paid")
        _, answer, _ = await late(shop, kitchen, admin, "DELETE FROM orders", path)
        assert answer.status_code == 409

    @pytest.mark.parametrize("meanwhile", [CLAIMED_BY_ANOTHER, "DELETE FROM orders"])
    async def test_one_that_fails_to_cancel_leaves_what_another_has_done(
        self, shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection, meanwhile: str
    ) -> None:
        path = await bring(shop, "paid")
        kitchen.arrived.clear()
        kitchen.always[path.rpartition("/")[2]] = "hold"
        asked = asyncio.create_task(shop.post(f"{path}/cancel", headers=VISITOR))
        await kitchen.arrived.wait()
        await admin.execute(meanwhile)
        kitchen.hang_up()
        assert (await asked).status_code == 502
        row = await admin.fetchrow(ROW)
        assert row is None if meanwhile.startswith("DELETE") else row["is_anothers"]

    async def test_a_cancelled_order_is_claimed_by_nobody(
        self, shop: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        path = await bring(shop, "paid")
        assert (await shop.post(f"{path}/cancel", headers=KEEPER)).status_code == 200
        assert await admin.fetchval("SELECT claimed_until FROM orders") is None
