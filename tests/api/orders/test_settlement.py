"""What was left unsettled is settled by the api, order by order, or left to the keepers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from sqlalchemy.exc import ProgrammingError

from api.crud.orders import metrics
from api.crud.orders import payments as payments_of_orders
from api.crud.orders.payments import settle_all
from api.external_services import http
from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.api.keeping import admin, database, hidden, keeping
from tests.api.orders.ordering import CAKE, events_of, left_open, order, status_of
from tests.api.orders.outside import Outside
from tests.conftest import Log, answering, started, state_of
from tests.ports import find_free_port
from tests.python import HANGS
from tests.users import ADMIN, KEEPER, VISITOR

__all__ = ["admin", "database", "keeping"]  # fixtures

pytestmark = pytest.mark.usefixtures("no_backoff")

GIVEN_UP = "?needs_attention=true"


Api = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def api(server: Server, database: str) -> Api:
    """Starts an api with these services, on the test's database."""
    url = server.url("zoo_api", database)
    return lambda **services: answering(create_app(Settings.model_validate({"database_url": url, **services})))


@pytest.fixture
async def shop(api: Api, payments: Outside, kitchen: Outside) -> AsyncIterator[httpx.AsyncClient]:
    async with api(payments_url=payments.url, kitchen_url=kitchen.url) as client:
        yield client


def id_of(path: str) -> str:
    return path.rpartition("/")[2]


async def pay(client: httpx.AsyncClient, path: str, who: dict[str, str] = VISITOR) -> int:
    return (await client.post(f"{path}/pay", headers=who)).status_code


async def let_time_pass(admin: asyncpg.Connection, minutes: int = 60) -> None:
    await admin.execute("UPDATE orders SET updated_at = updated_at - $1 * interval '1 minute'", minutes)


async def settle(client: httpx.AsyncClient, admin: asyncpg.Connection, times: int = 1) -> None:
    """The api's own rounds, an hour apart."""
    for _ in range(times):
        await let_time_pass(admin)
        await settle_all(state_of(client).sessionmaker.begin, state_of(client).services)


async def given_up(client: httpx.AsyncClient, who: dict[str, str] = KEEPER, query: str = "") -> dict[str, str]:
    """The orders that need attention, and why."""
    found: list[dict[str, Any]] = (await client.get(f"/orders{GIVEN_UP}{query}", headers=who)).json()["orders"]
    return {f"/orders/{one['id']}": one["attention"] for one in found}


def warnings(lines: list[Log]) -> set[tuple[str, str | None]]:
    """What was logged as a warning, and about which order; None if about none."""
    return {(line["event"], line.get("order")) for line in lines if line["level"] == "warning"}


async def refused(client: httpx.AsyncClient, kitchen: Outside, answer: str = "422") -> str:
    """An order that is paid, and that the kitchen answers so."""
    path = await order(client)
    kitchen.always[id_of(path)] = answer
    assert await pay(client, path) == 502
    return path


async def left_to_keepers(admin: asyncpg.Connection) -> str:
    """An order that is paid, and that the kitchen has refused for good."""
    [path] = await left_open(admin, failures=3, attention="The kitchen answers 422")
    return path


async def test_the_others_are_settled_whatever_one_fails_with(
    shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    failures = ["422", "500", "drop", "garbage", "429"]
    *failing, waiting = await left_open(admin, len(failures) + 1)
    kitchen.always = {id_of(path): failure for path, failure in zip(failing, failures, strict=True)}
    await settle(shop, admin)
    assert await status_of(shop, waiting) == "paid"
    assert [await status_of(shop, path) for path in failing] == ["created"] * len(failures)


async def test_an_order_that_cannot_even_be_begun_keeps_no_other_from_being_settled(
    api: Api, kitchen: Outside, admin: asyncpg.Connection, log: Callable[[], list[Log]]
) -> None:
    [begun], [waiting] = await left_open(admin, payment=None), await left_open(admin)
    async with api(kitchen_url=kitchen.url) as client:
        await settle(client, admin)
        assert await status_of(client, waiting) == "paid"
        assert await given_up(client) == {}
        await settle(client, admin)
        assert [line for line in log() if line["level"] == "error"] == []
        assert "no longer in the api's settings" in (await given_up(client))[begun]


async def test_only_where_a_service_cannot_be_reached_others_wait_and_none_is_given_up(
    api: Api,
    shop: httpx.AsyncClient,
    kitchen: Outside,
    admin: asyncpg.Connection,
    log: Callable[[], list[Log]],
) -> None:
    unpaid = await left_open(admin, 2, payment=None, failures=9)  # one more, and it would be left to the keepers
    [paid] = await left_open(admin)
    async with api(payments_url=f"http://127.0.0.1:{find_free_port()}", kitchen_url=kitchen.url) as client:
        await settle(client, admin, times=2)
        assert [await status_of(client, path) for path in [*unpaid, paid]] == ["created", "created", "paid"]
        assert await given_up(client) == {}
        assert warnings(log()) == {("payment left unsettled for now", id_of(unpaid[0]))}
    await settle(shop, admin)
    assert [await status_of(shop, path) for path in unpaid] == ["paid", "paid"]


@pytest.mark.parametrize("pays", ["at the till", "by the service"])
async def test_while_the_kitchen_cannot_be_reached_all_orders_wait(
    api: Api, payments: Outside, admin: asyncpg.Connection, log: Callable[[], list[Log]], pays: str
) -> None:
    at_till = pays == "at the till"
    service = {} if at_till else {"payments_url": payments.url}
    paths = await left_open(admin, 2, payment=None if at_till else "made", till=at_till)
    async with api(kitchen_url=f"http://127.0.0.1:{find_free_port()}", **service) as client:
        await settle(client, admin)
        assert warnings(log()) == {("payment left unsettled for now", id_of(paths[0]))}


async def test_a_payment_that_turns_out_to_be_refused_is_logged_and_may_be_tried_again(
    shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection, log: Callable[[], list[Log]]
) -> None:
    [path] = await left_open(admin, payment=None)
    payments.payment = "invalid"
    await settle(shop, admin)
    [line] = [line for line in log() if line["event"] == "payment not settled"]
    assert (line["level"], line["order"]) == ("info", id_of(path))
    assert "was refused" in line["reason"]
    payments.payment = "paid"
    assert await pay(shop, path) == 200


async def test_what_fails_by_a_fault_of_the_api_is_logged_order_by_order_and_left_to_keepers(
    shop: httpx.AsyncClient, admin: asyncpg.Connection, log: Callable[[], list[Log]]
) -> None:
    paths = await left_open(admin, 2, failures=8)
    services = state_of(shop).services
    assert services.kitchen
    await services.kitchen.close()  # whose use is such a fault
    await settle(shop, admin)
    assert await given_up(shop) == {}
    await settle(shop, admin)
    said = "It can't be settled: the api's log says why"
    assert await given_up(shop) == dict.fromkeys(paths, said)
    faults = [line for line in log() if line["event"] == "payment left unsettled"]
    assert {line["order"] for line in faults} == {id_of(path) for path in paths}
    assert "client has been closed" in faults[0]["exception"]


async def test_a_database_that_fails_ends_the_round(
    shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    paths = await left_open(admin, 2)
    async with hidden(admin, "order_events"):
        with pytest.raises(ProgrammingError):
            await settle(shop, admin)
    assert [call.key for call in kitchen.calls] == [id_of(paths[0])]


async def test_after_each_failure_an_order_is_left_alone_for_longer(
    shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    path = await refused(shop, kitchen, "429")
    for minutes in (4, 8, 16, 32, 60, 60):
        asked = len(kitchen.calls)
        for passed, asks in ((minutes - 1, False), (1, True)):
            await let_time_pass(admin, passed)
            await settle_all(state_of(shop).sessionmaker.begin, state_of(shop).services)
            assert (len(kitchen.calls) > asked) is asks, minutes
    kitchen.always.clear()
    await settle(shop, admin)
    assert await status_of(shop, path) == "paid"


async def test_what_a_service_refuses_for_good_is_left_to_keepers_with_the_reason(
    shop: httpx.AsyncClient, payments: Outside, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    kitchen.said = '{"detail": "no\\u0000 Tea\x1b"}'
    path = await refused(shop, kitchen)
    await settle(shop, admin)
    assert await given_up(shop) == {}
    await settle(shop, admin)
    assert await given_up(shop) == {path: 'The kitchen answers 422: {"detail": "no\\u0000 Tea "}'}
    assert await given_up(shop, ADMIN, "&cancelled=false") == await given_up(shop, VISITOR) != {}
    assert await given_up(shop, KEEPER, "&cancelled=true") == {}
    others = (await shop.get("/orders?needs_attention=false", headers=KEEPER)).json()["orders"]
    assert others == []
    asked = len(kitchen.calls)
    await settle(shop, admin)
    assert len(kitchen.calls) == asked
    assert len(payments.did("/payments")) == 1


async def test_a_service_that_fails_for_hours_is_left_to_keepers_too(
    shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    [path] = await left_open(admin, failures=8)
    kitchen.always[id_of(path)] = "500"
    await settle(shop, admin)
    assert await given_up(shop) == {}
    await settle(shop, admin)
    assert await given_up(shop) == {path: "The kitchen answers 500"}


async def test_a_service_that_asks_to_wait_has_not_refused(
    shop: httpx.AsyncClient, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    paths = await left_open(admin, 3, failures=2)
    kitchen.always = {id_of(path): status for path, status in zip(paths, ("408", "425", "429"), strict=True)}
    await settle(shop, admin)
    assert await given_up(shop) == {}
    kitchen.always.clear()
    await settle(shop, admin)
    assert [await status_of(shop, path) for path in paths] == ["paid"] * 3


async def test_keepers_try_again_and_the_reason_is_the_newest(
    shop: httpx.AsyncClient, payments: Outside, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    path = await left_to_keepers(admin)
    kitchen.always[id_of(path)] = "409"
    assert await pay(shop, path, KEEPER) == 502
    assert await given_up(shop) == {path: "The kitchen answers 409: {}"}
    kitchen.always.clear()
    assert await pay(shop, path, KEEPER) == 200
    assert await given_up(shop) == {}
    assert (payments.calls, len(kitchen.did("/kitchen/schedules"))) == ([], 1)


async def test_keepers_cancel_it_and_what_was_paid_is_given_back_once(
    shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
) -> None:
    path = await left_to_keepers(admin)
    assert (await shop.post(f"{path}/cancel", headers=VISITOR)).status_code == 409
    assert (await shop.put(path, json={"order": [CAKE]}, headers=KEEPER)).status_code == 409
    answers = await asyncio.gather(*(shop.post(f"{path}/cancel", headers=KEEPER) for _ in range(4)))
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(200, "cancelled")}
    assert [(call.path, call.key, call.body) for call in payments.calls] == [
        ("/payments/made/refund", f"{id_of(path)}.refund", {"order_id": id_of(path)})
    ]
    assert await given_up(shop) == {}
    assert await events_of(shop, path) == [(None, "created"), ("created", "cancelled")]
    await settle(shop, admin)
    assert await status_of(shop, path) == "cancelled"


@pytest.mark.parametrize(("failure", "reason"), [("500", "answers 500"), ("404", "answers 404: {}")])
async def test_what_cannot_be_given_back_stays_to_be_seen_until_it_is(
    shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection, failure: str, reason: str
) -> None:
    path = await left_to_keepers(admin)
    payments.always[f"{id_of(path)}.refund"] = failure
    cancelled = await shop.post(f"{path}/cancel", headers=KEEPER)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    said = f"Cancelled, but payment made is not given back: cancel it again (The payments service {reason})"
    assert await given_up(shop) == {path: said}
    assert await admin.fetchval("SELECT claimed_until FROM orders") is None
    payments.always.clear()
    assert (await shop.post(f"{path}/cancel", headers=KEEPER)).status_code == 200
    assert await given_up(shop) == {}
    assert len([done for done in payments.done if done[0].endswith("/refund")]) == 1


async def test_if_a_worker_dies_while_it_gives_back_the_next_cancel_finishes_that(
    shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
) -> None:
    path = await left_to_keepers(admin)
    payments.always[f"{id_of(path)}.refund"] = "hold"
    dying = asyncio.create_task(shop.post(f"{path}/cancel", headers=KEEPER))
    await payments.arrived.wait()
    dying.cancel()
    await asyncio.wait([dying])
    payments.always.clear()
    payments.go.set()
    assert await status_of(shop, path) == "cancelled"
    assert await pay(shop, path, KEEPER) == 409  # nobody pays what is being given back
    assert "is not given back" in (await given_up(shop))[path]
    await admin.execute("UPDATE orders SET claimed_until = now()")  # the claim has run out
    assert (await shop.post(f"{path}/cancel", headers=KEEPER)).status_code == 200
    assert await given_up(shop) == {}
    assert len([done for done in payments.done if done[0].endswith("/refund")]) == 1


async def test_what_is_given_back_for_an_order_that_somebody_has_removed_from_the_database_is_404(
    shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
) -> None:
    path = await left_to_keepers(admin)
    payments.script.append("hold")
    cancelling = asyncio.create_task(shop.post(f"{path}/cancel", headers=KEEPER))
    await payments.arrived.wait()
    await admin.execute("DELETE FROM orders")
    payments.go.set()
    assert (await cancelling).status_code == 404


async def test_what_may_have_been_paid_is_said_when_it_is_cancelled(
    shop: httpx.AsyncClient, payments: Outside, admin: asyncpg.Connection
) -> None:
    [path] = await left_open(admin, payment=None)
    payments.always[id_of(path)] = "410"
    await settle(shop, admin, times=2)
    assert list(await given_up(shop)) == [path]
    assert (await shop.post(f"{path}/cancel", headers=KEEPER)).json()["status"] == "cancelled"
    assert "may have been made" in (await given_up(shop))[path]
    assert (await shop.post(f"{path}/cancel", headers=KEEPER)).status_code == 200
    assert await given_up(shop) == {}


async def test_what_was_paid_by_a_service_that_is_no_longer_there_stays_to_be_seen(
    api: Api, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    path = await left_to_keepers(admin)
    async with api(kitchen_url=kitchen.url) as client:
        assert (await client.post(f"{path}/cancel", headers=KEEPER)).json()["status"] == "cancelled"
        assert (await given_up(client))[path].endswith("cancel it again when there is a payments service")


async def test_failures_of_a_payment_that_has_ended_do_not_count(
    shop: httpx.AsyncClient, payments: Outside, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    """Neither for the next payment, after a refusal, nor for the kitchen: each is refused three times by itself."""
    path = await order(shop)
    for ended, after in (("invalid", payments), ("paid", kitchen)):
        payments.script += ["lose"] * http.ATTEMPTS
        assert await pay(shop, path) == 502
        payments.script.append("410")
        await settle(shop, admin)  # for the second time
        payments.done.clear()
        payments.payment = ended
        kitchen.script += ["422"]
        assert await pay(shop, path) == (409 if after is payments else 502)
        assert await given_up(shop) == {}
        if after is payments:
            kitchen.script.clear()
    assert await admin.fetchval("SELECT settle_failures FROM orders") == 1


async def test_an_order_that_another_has_locked_keeps_no_other_from_being_settled(
    shop: httpx.AsyncClient, admin: asyncpg.Connection
) -> None:
    locked, referred_to, waiting = await left_open(admin, 3)
    await let_time_pass(admin)
    state = state_of(shop)
    async with admin.transaction(), asyncio.timeout(HANGS):
        await admin.execute("SELECT FROM orders WHERE id = $1 FOR UPDATE", id_of(locked))
        await admin.execute("SELECT FROM orders WHERE id = $1 FOR KEY SHARE", id_of(referred_to))
        await settle_all(state.sessionmaker.begin, state.services)
        assert [await status_of(shop, path) for path in (referred_to, waiting)] == ["paid"] * 2
    assert await status_of(shop, locked) == "created"


@pytest.mark.parametrize("change", ["claimed_until = now() + interval '9 s'", "attention = 'x'", "updated_at = now()"])
async def test_an_order_that_another_worker_has_begun_or_ended_meanwhile_is_left_alone(
    shop: httpx.AsyncClient, admin: asyncpg.Connection, change: str
) -> None:
    [path] = await left_open(admin)
    order_id = UUID(id_of(path))
    await let_time_pass(admin)
    async with state_of(shop).sessionmaker.begin() as session:
        assert await payments_of_orders._lock_due(session, order_id) is not None  # noqa: SLF001 - after it was found
    await admin.execute(f"UPDATE orders SET {change}")
    async with state_of(shop).sessionmaker.begin() as session:
        assert await payments_of_orders._lock_due(session, order_id) is None  # noqa: SLF001


async def test_an_order_paid_at_the_till_is_cancelled_without_a_service(
    api: Api, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    async with api(kitchen_url=kitchen.url) as client:
        [path] = await left_open(admin, payment=None, till=True, failures=3, attention="The kitchen answers 422")
        assert (await client.post(f"{path}/cancel", headers=KEEPER)).json()["status"] == "cancelled"
        assert await given_up(client) == {}


async def test_many_workers_at_once_settle_each_order_once(
    shop: httpx.AsyncClient, payments: Outside, kitchen: Outside, admin: asyncpg.Connection
) -> None:
    await left_open(admin, 3, payment=None)
    await let_time_pass(admin)
    state = state_of(shop)
    await asyncio.gather(*(settle_all(state.sessionmaker.begin, state.services) for _ in range(3)))
    assert await admin.fetchval("SELECT count(*) FROM orders WHERE status = 'paid'") == 3
    assert len(kitchen.calls) == len(payments.calls) == 3
    assert await admin.fetchval("SELECT count(*) FROM order_events WHERE to_status = 'paid'") == 3


async def test_the_api_looks_once_a_minute_and_counts_what_needs_attention_every_15_seconds(
    shop: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) % 3 == 0:
            raise asyncio.CancelledError

    state = state_of(shop)
    for module, work in (
        (payments_of_orders, payments_of_orders.keep_settling_orders(state.sessionmaker.begin, state.services)),
        (metrics, metrics.keep_counting_orders(state.sessionmaker.begin)),
    ):
        monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(work, 60)
    assert pauses == [60] * 3 + [15] * 3


@pytest.mark.parametrize("service", ["payments_url", "kitchen_url"])
async def test_a_failure_to_settle_is_logged_in_one_line_without_the_statement(
    server: Server, database: str, admin: asyncpg.Connection, log: Callable[[], list[Log]], service: str
) -> None:
    settings = Settings.model_validate({"database_url": server.url("zoo_api", database), service: "http://127.0.0.1:1"})
    async with hidden(admin, "orders"), started(create_app(settings)):
        while not (warnings := [line for line in log() if line["level"] == "warning"]):
            await asyncio.sleep(0.01)
    [line] = warnings
    assert line["event"] == "payments left unsettled for now"
    assert line["reason"] == 'ProgrammingError: relation "orders" does not exist'
