"""Paying and cancelling with a payments service and a kitchen: real HTTP servers, working and failing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import ValidationError

from api.crud.orders import claims
from api.crud.orders.payments import settle_all
from api.external_services import http
from api.external_services.payments import Payment
from api.main import Api, create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.keeping import admin, database, hidden, keeping
from tests.api.orders.ordering import CAKE, TEA, events_of, left_open, order, status_of
from tests.api.orders.outside import Outside
from tests.conftest import answering, started, state_of
from tests.users import KEEPER, VISITOR

__all__ = ["admin", "database", "keeping"]  # fixtures

pytestmark = pytest.mark.usefixtures("no_backoff")

Serve = Callable[[Api], AbstractAsyncContextManager[httpx.AsyncClient]]
PAID = [(None, "created"), ("created", "paid")]


@asynccontextmanager
async def api(
    server: Server, database: str, serve: Serve = answering, **settings: str | None
) -> AsyncIterator[httpx.AsyncClient]:
    options = {"database_url": server.url("zoo_api", database), "database_pool_size": 4, **settings}
    async with serve(create_app(Settings.model_validate(options))) as client:
        yield client


@pytest.fixture
async def shop(server: Server, database: str, payments: Outside, kitchen: Outside) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an api that has both services, and few connections."""
    async with api(server, database, payments_url=payments.url, kitchen_url=kitchen.url) as client:
        yield client


async def pay(client: httpx.AsyncClient, path: str, who: dict[str, str] = VISITOR) -> httpx.Response:
    return await client.post(f"{path}/pay", headers=who)


async def cancel(client: httpx.AsyncClient, path: str) -> httpx.Response:
    return await client.post(f"{path}/cancel", headers=VISITOR)


async def refused_everything_but_paying(client: httpx.AsyncClient, path: str) -> bool:
    """Whether an order whose payment is not settled can't be changed, and the answers say how to settle it."""
    answers = [
        await client.put(path, json={"order": [CAKE]}, headers=VISITOR),
        await client.delete(path, headers=VISITOR),
        await cancel(client, path),
    ]
    return all(answer.status_code == 409 and "pay again" in answer.json()["detail"] for answer in answers)


async def is_unsettled(admin: asyncpg.Connection) -> bool:
    """Whether the order is one that `refused_everything_but_paying` is true of."""
    is_being_paid: bool = await admin.fetchval("SELECT is_being_paid FROM orders")
    return is_being_paid


class TestPay:
    async def test_pays_then_schedules_and_keeps_both_ids(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await order(shop, TEA, CAKE)
        order_id = path.rpartition("/")[2]
        answer = await pay(shop, path)
        assert (answer.status_code, answer.json()["status"]) == (200, "paid")
        assert [(call.path, call.key, call.body) for call in payments.calls] == [
            ("/payments", order_id, {"order_id": order_id, "status": "created"})
        ]
        assert [(call.path, call.key, call.body) for call in kitchen.calls] == [
            ("/kitchen/schedules", order_id, {"order": [TEA, CAKE]})
        ]
        row = await admin.fetchrow("SELECT payment_id, schedule_id, is_being_paid, is_paid_at_till FROM orders")
        ids = payments.did("/payments")[0]["payment_id"], kitchen.did("/kitchen/schedules")[0]["id"]
        assert tuple(row) == (*ids, False, False)
        assert await events_of(shop, path) == PAID

    async def test_paying_again_calls_no_service(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside
    ) -> None:
        path = await order(shop)
        assert [(await pay(shop, path)).status_code for _ in range(3)] == [200] * 3
        assert (len(payments.calls), len(kitchen.calls)) == (1, 1)

    async def test_no_connection_is_held_while_a_service_takes_its_time(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        paths = await left_open(admin, 5, payment=None)
        payments.script += ["hold"] * 5
        paying = [asyncio.create_task(pay(shop, path)) for path in paths]  # of a pool of 4
        while len(payments.calls) < 5:
            await asyncio.sleep(0.01)
        assert (await shop.get("/orders")).status_code == 200
        idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state ~ 'in transaction'"
        assert await admin.fetchval(idle) == 0
        payments.go.set()
        assert {(await answer).status_code for answer in paying} == {200}

    async def test_of_many_at_once_one_calls_the_service_and_all_get_the_result(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside
    ) -> None:
        path = await order(shop)
        payments.script.append("hold")
        paying = [asyncio.create_task(pay(shop, path)) for _ in range(4)]
        await payments.arrived.wait()
        assert (await shop.put(path, json={"order": [CAKE]}, headers=VISITOR)).status_code == 409
        assert (await cancel(shop, path)).status_code == 409
        assert (await shop.delete(path, headers=VISITOR)).status_code == 409
        assert await status_of(shop, path) == "created"
        payments.go.set()
        answers = [await answer for answer in paying]
        assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(200, "paid")}
        assert (len(payments.calls), len(kitchen.calls)) == (1, 1)
        assert await events_of(shop, path) == PAID

    async def test_a_pay_and_a_cancel_at_once_never_leave_a_cancelled_order_that_is_made(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside
    ) -> None:
        for _ in range(3):
            payments.done.clear()
            kitchen.done.clear()
            path = await order(shop)
            paid, cancelled = await asyncio.gather(pay(shop, path), cancel(shop, path))
            then = await status_of(shop, path)
            assert (paid.status_code, cancelled.status_code, then) in {
                (200, 409, "paid"), (409, 200, "cancelled"), (200, 200, "cancelled"),
            }  # fmt: skip
            made = len(kitchen.did("/kitchen/schedules"))
            not_made = len([done for done in kitchen.done if done[0].endswith("/cancel")])
            assert len(payments.done) == made == (paid.status_code == 200)
            assert made - not_made == (then == "paid")

    async def test_a_request_that_has_waited_long_enough_is_told_to_try_again(
        self, shop: httpx.AsyncClient, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.1)
        path = await order(shop)
        await admin.execute("UPDATE orders SET is_being_paid = true, claimed_until = now() + interval '1 minute'")
        answer = await pay(shop, path)
        assert answer.status_code == 409
        assert "ask again in a moment" in answer.json()["detail"]
        assert int(answer.headers["Retry-After"]) > 0


class TestRefusal:
    async def test_a_refused_payment_is_409_and_may_be_tried_again(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside
    ) -> None:
        path = await order(shop)
        payments.payment = "invalid"
        refused = await pay(shop, path)
        assert refused.status_code == 409
        assert "refused" in refused.json()["detail"]
        assert (await shop.put(path, json={"order": [CAKE]}, headers=VISITOR)).status_code == 200
        payments.payment = "paid"
        assert (await pay(shop, path)).json()["status"] == "paid"
        # As another payment, because for the same key the service would repeat its refusal.
        order_id = path.rpartition("/")[2]
        assert [call.key for call in payments.calls] == [order_id, f"{order_id}.1"]
        assert [call.body["order"] for call in kitchen.calls] == [[CAKE]]

    async def test_a_pending_payment_leaves_the_order_as_it_is_to_be_paid_again(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await order(shop)
        payments.payment = "pending"
        answer = await pay(shop, path)
        assert (answer.status_code, answer.json()["status"]) == (200, "created")
        assert await refused_everything_but_paying(shop, path)
        assert kitchen.calls == []
        assert await admin.fetchval("SELECT claimed_until FROM orders") is None  # so that the next one need not wait
        payments.payment = "paid"
        payments.done.clear()
        assert (await pay(shop, path)).json()["status"] == "paid"
        assert len({call.key for call in payments.calls}) == 1


class TestFailure:
    async def test_a_transient_failure_is_tried_again_with_the_same_key(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside
    ) -> None:
        for failure in ("503", "lose", "reset"):
            path = await order(shop)
            for service in (payments, kitchen):
                service.calls.clear()
                service.done.clear()
                service.script += [failure, failure]
            assert (await pay(shop, path)).json()["status"] == "paid"
            for service in (payments, kitchen):
                assert len(service.calls) == 3
                assert {call.key for call in service.calls} == {path.rpartition("/")[2]}
                assert len(service.done) == 1

    async def test_payments_that_fail_are_502_and_the_next_pay_settles_it(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside
    ) -> None:
        for failure in ("503", "lose", "garbage"):  # after each, a payment may have been made
            path = await order(shop)
            payments.done.clear()
            kitchen.calls.clear()
            payments.script += [failure] * http.ATTEMPTS
            failed = await pay(shop, path)
            assert failed.status_code == 502, failure
            assert failed.json().keys() == {"detail"}
            assert "The payments service" in failed.json()["detail"]
            assert "pay again" in failed.json()["detail"]
            assert await status_of(shop, path) == "created"
            assert await refused_everything_but_paying(shop, path)
            assert kitchen.calls == []
            payments.script.clear()
            assert (await pay(shop, path)).json()["status"] == "paid"
            assert len(payments.did("/payments")) == 1
            assert await events_of(shop, path) == PAID

    def test_an_answer_that_is_no_payment_is_such_a_failure(self) -> None:
        answer = {"payment_id": "x", "status": "paid"}
        assert Payment.model_validate(answer)
        others: list[Any] = [
            {}, [], answer | {"status": "maybe"}, answer | {"payment_id": None}, answer | {"payment_id": "\0"},
        ]  # fmt: skip
        for other in others:
            with pytest.raises(ValidationError):
                pytest.fail(f"taken as {Payment.model_validate(other)}")

    async def test_a_kitchen_that_fails_is_502_and_nothing_is_paid_twice(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await order(shop)
        kitchen.script += ["lose", "503", "garbage"]
        failed = await pay(shop, path)
        assert failed.status_code == 502
        assert "The kitchen" in failed.json()["detail"]
        assert await status_of(shop, path) == "created"
        assert await is_unsettled(admin)
        assert (await pay(shop, path)).json()["status"] == "paid"
        assert len(payments.calls) == 1
        assert len(kitchen.did("/kitchen/schedules")) == 1

    async def test_if_certainly_nothing_was_done_the_order_can_be_changed(
        self, server: Server, database: str, payments: Outside, free_port: int
    ) -> None:
        path = None
        nobody = f"http://127.0.0.1:{free_port}"
        async with api(server, database, payments_url=nobody) as client:
            path = await order(client)
            failed = await pay(client, path)
            assert failed.status_code == 502
            assert "can't be reached" in failed.json()["detail"]
            assert (await client.put(path, json={"order": [CAKE]}, headers=VISITOR)).status_code == 200
        async with api(server, database, payments_url=payments.url) as client:
            payments.script.append("404")
            failed = await pay(client, path)
            assert failed.status_code == 502
            assert "answers 404" in failed.json()["detail"]
            assert (await cancel(client, path)).status_code == 200

    @pytest.mark.parametrize("first", ["lose", "503"])
    async def test_what_an_earlier_attempt_may_have_done_is_not_forgotten_because_a_later_one_is_refused(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection, first: str
    ) -> None:
        path = await order(shop)
        payments.script += [first, "404"]
        assert (await pay(shop, path)).status_code == 502
        assert await is_unsettled(admin)

    async def test_a_service_that_is_too_slow_is_502(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http, "MAX_SECONDS", 0.2)
        path = await order(shop)
        payments.script.append("hold")
        failed = await pay(shop, path)
        assert failed.status_code == 502
        assert "in time" in failed.json()["detail"]
        assert await is_unsettled(admin)
        monkeypatch.setattr(http, "MAX_SECONDS", 8)
        assert (await pay(shop, path)).json()["status"] == "paid"
        assert len(payments.did("/payments")) == 1

    async def test_it_is_settled_even_after_the_database_was_down(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await order(shop)
        payments.script.append("hold")
        paying = asyncio.create_task(pay(shop, path))
        await payments.arrived.wait()
        async with hidden(admin, "orders"):
            payments.go.set()
            assert (await paying).status_code == 503
        await admin.execute("UPDATE orders SET claimed_until = now()")  # the claim has run out
        assert (await pay(shop, path)).json()["status"] == "paid"
        assert len(payments.did("/payments")) == 1


class TestCrash:
    @pytest.mark.parametrize("dies_at", ["payments", "kitchen"])
    async def test_the_next_pay_finishes_what_a_worker_began_before_it_died(
        self, shop: httpx.AsyncClient, payments: Outside, kitchen: Outside, admin: asyncpg.Connection, dies_at: str
    ) -> None:
        path = await order(shop)
        service = payments if dies_at == "payments" else kitchen
        service.script.append("hold")
        paying = asyncio.create_task(pay(shop, path))
        await service.arrived.wait()
        paying.cancel()
        await asyncio.wait([paying])
        service.go.set()
        while not service.done:  # the payment is made, or the order scheduled, but not recorded here
            await asyncio.sleep(0.01)
        assert await is_unsettled(admin)
        next_pay = asyncio.create_task(pay(shop, path))
        await admin.execute("UPDATE orders SET claimed_until = now()")  # the claim has run out
        assert (await next_pay).json()["status"] == "paid"
        assert len(payments.did("/payments")) == 1
        assert len(kitchen.did("/kitchen/schedules")) == 1
        assert await events_of(shop, path) == PAID

    async def test_without_payments_it_settles_what_the_kitchen_has_left(
        self, server: Server, database: str, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        [path] = await left_open(admin, payment=None, till=True)
        await admin.execute("UPDATE orders SET updated_at = now() - interval '1 hour'")
        async with api(server, database, started, kitchen_url=kitchen.url) as client:
            while await admin.fetchval("SELECT count(*) FROM orders WHERE is_being_paid"):
                await asyncio.sleep(0.02)
            assert await status_of(client, path) == "paid"

    async def test_the_api_settles_what_was_left_when_it_starts(
        self, server: Server, database: str, payments: Outside, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        services = {"payments_url": payments.url, "kitchen_url": kitchen.url}
        paths = await left_open(admin, 3, payment=None)
        await admin.execute(
            "UPDATE orders SET updated_at = now() - interval '1 hour', is_being_paid = id <> $1", paths[2][-36:]
        )
        async with api(server, database, started, **services) as one, api(server, database, started, **services):
            while await admin.fetchval("SELECT count(*) FROM orders WHERE is_being_paid"):
                await asyncio.sleep(0.02)
            assert [await status_of(one, path) for path in paths] == ["paid", "paid", "created"]
            assert [event[1] for event in await events_of(one, paths[0])] == ["created", "paid"]
        assert len(payments.did("/payments")) == 2
        assert (
            await admin.fetchval("SELECT count(*) FROM order_events WHERE to_status = 'paid' AND user_id IS NULL") == 2
        )

    async def test_new_or_claimed_payments_are_not_settled_by_the_api(
        self, shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
    ) -> None:
        claimed, _ = await left_open(admin, 2, payment=None)
        claim = "UPDATE orders SET updated_at = now() - interval '1 hour', claimed_until = now() + interval '9 s'"
        await admin.execute(f"{claim} WHERE id = $1", claimed[-36:])
        state = state_of(shop)
        await settle_all(state.sessionmaker.begin, state.services)
        assert payments.calls == []


class TestCancel:
    async def test_the_kitchen_is_called_first(
        self, shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
    ) -> None:
        path = await order(shop, CAKE)
        await pay(shop, path)
        schedule = await admin.fetchval("SELECT schedule_id FROM orders")
        assert (await cancel(shop, path)).json()["status"] == "cancelled"
        assert kitchen.calls[-1].path == f"/kitchen/schedules/{schedule}/cancel"
        assert kitchen.calls[-1].key == path.rpartition("/")[2]
        assert (await cancel(shop, path)).status_code == 200
        assert len(kitchen.calls) == 2

    async def test_an_order_that_is_not_scheduled_is_cancelled_without_a_call(
        self, shop: httpx.AsyncClient, kitchen: Outside
    ) -> None:
        path = await order(shop)
        assert (await cancel(shop, path)).json()["status"] == "cancelled"
        assert (await pay(shop, path)).status_code == 409
        assert kitchen.calls == []

    async def test_a_kitchen_that_fails_is_502_and_the_order_is_unchanged(
        self, shop: httpx.AsyncClient, kitchen: Outside
    ) -> None:
        for failure in ("503", "404"):
            path = await order(shop)
            await pay(shop, path)
            kitchen.script += [failure] * http.ATTEMPTS
            failed = await cancel(shop, path)
            assert failed.status_code == 502
            assert "The kitchen" in failed.json()["detail"]
            assert await events_of(shop, path) == PAID
            kitchen.script.clear()
            assert (await cancel(shop, path)).json()["status"] == "cancelled"

    async def test_while_the_kitchen_is_called_the_order_cannot_be_advanced(
        self, shop: httpx.AsyncClient, kitchen: Outside
    ) -> None:
        path = await order(shop)
        await pay(shop, path)
        kitchen.arrived.clear()
        kitchen.script.append("hold")
        cancelling = [asyncio.create_task(cancel(shop, path)) for _ in range(2)]
        await kitchen.arrived.wait()
        held = await shop.post(f"{path}/advance", headers=KEEPER)
        assert (held.status_code, "is being cancelled" in held.json()["detail"]) == (409, True)
        assert int(held.headers["Retry-After"]) > 0
        assert (await pay(shop, path)).json()["status"] == "paid"
        kitchen.go.set()
        assert [(await answer).json()["status"] for answer in cancelling] == ["cancelled", "cancelled"]
        assert len(kitchen.calls) == 2


async def test_with_a_kitchen_only_orders_are_paid_at_the_till_and_made(
    server: Server, database: str, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    async with api(server, database, kitchen_url=kitchen.url) as client:
        path = await order(client)
        kitchen.script += ["lose"] * http.ATTEMPTS
        assert (await pay(client, path)).status_code == 502
        assert await status_of(client, path) == "created"
        assert (await pay(client, path)).json()["status"] == "paid"
    row = await admin.fetchrow("SELECT is_paid_at_till, payment_id, schedule_id FROM orders")
    assert tuple(row) == (True, None, kitchen.did("/kitchen/schedules")[0]["id"])


async def test_an_order_that_a_former_kitchen_has_scheduled_is_cancelled_without_it(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    [path] = await left_open(admin)
    await admin.execute("UPDATE orders SET status = 'paid', is_being_paid = false, schedule_id = 'scheduled'")
    async with api(server, database) as client:
        assert (await cancel(client, path)).json()["status"] == "cancelled"
        assert await status_of(client, path) == "cancelled"


async def test_what_a_payments_service_has_begun_is_not_paid_at_the_till(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    [path] = await left_open(admin, payment=None)
    async with api(server, database) as client:
        assert (await pay(client, path)).status_code == 502
        assert await status_of(client, path) == "created"
