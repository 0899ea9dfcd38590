"""What is counted of orders."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.orders import metrics
from api.enums.orders import OrderStatus
from api.models.orders import OrderEvent
from local.postgres import Server
from tests.api.orders.ordering import TEA, bring, order
from tests.api.orders.outside import Outside
from tests.api.test_metrics import api, count
from tests.users import KEEPER, VISITOR


@pytest.mark.usefixtures("no_backoff")
async def test_a_call_of_a_service_outside_is_counted_by_its_outcome(
    server: Server, database: str, payments: Outside
) -> None:
    name = "external_request_duration_seconds_count"
    outcomes = ("refused", "failed", "done")
    async with api(server, database, payments_url=payments.url) as client:
        path = await order(client)
        for script, outcome, status in ((["404"], "refused", 502), (["503"] * 3, "failed", 502), ([], "done", 200)):
            payments.script.extend(script)
            before = {each: count(name, service="payments", outcome=each) for each in outcomes}
            assert (await client.post(f"{path}/pay", headers=VISITOR)).status_code == status
            counted = {each: count(name, service="payments", outcome=each) - before[each] for each in outcomes}
            assert counted == {each: each == outcome for each in outcomes}


async def test_a_call_that_is_given_up_has_not_failed(server: Server, database: str, payments: Outside) -> None:
    name = "external_request_duration_seconds_count"
    async with api(server, database, payments_url=payments.url) as client:
        path = await order(client)
        payments.script.append("hold")
        before = {outcome: count(name, service="payments", outcome=outcome) for outcome in ("abandoned", "failed")}
        paying = asyncio.create_task(client.post(f"{path}/pay", headers=VISITOR))
        await payments.arrived.wait()
        paying.cancel()
        await asyncio.wait([paying])
        assert count(name, service="payments", outcome="abandoned") - before["abandoned"] == 1
        assert count(name, service="payments", outcome="failed") == before["failed"]


def test_orders_are_counted_from_none_in_each_state() -> None:
    counted = {sample.labels["state"] for family in metrics.ORDERS.collect() for sample in family.samples}
    assert counted == set(OrderStatus)


async def test_orders_are_counted_once_in_each_state_that_they_come_to(server: Server, database: str) -> None:
    states = ("created", "paid", "progress")
    async with api(server, database) as client:
        before = [count("orders_total", state=state) for state in states]
        path = await bring(client, "progress")
        assert (await client.post(f"{path}/pay", headers=KEEPER)).status_code == 200  # which changes nothing
        assert [count("orders_total", state=state) for state in states] == [number + 1 for number in before]


async def test_an_order_is_counted_once_however_often_its_session_commits(session: AsyncSession) -> None:
    before = count("orders_total", state="created")
    metrics.count_once_committed(session, OrderEvent(to_status=OrderStatus.CREATED))
    for _ in range(2):
        await session.execute(text("SELECT 1"))
        await session.commit()
    assert count("orders_total", state="created") == before + 1


async def test_an_order_that_is_not_committed_is_not_counted(
    server: Server, database: str, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE serialization_failure; END $$;"
        " CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON orders INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION refuse()"
    )
    async with api(server, database) as client:
        before = count("orders_total", state="created")
        assert (await client.post("/orders", json={"order": [TEA]}, headers=VISITOR)).status_code == 503
        assert count("orders_total", state="created") == before


async def test_those_that_need_attention_are_counted_regularly(
    server: Server, database: str, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "EVERY_SECONDS", 0.02)
    async with api(server, database) as client:
        path = await order(client)
        await admin.execute("UPDATE orders SET attention = 'too hot' WHERE id = $1::uuid", path.rpartition("/")[2])
        for number in (1, 0):
            async with asyncio.timeout(30):
                while count("orders_needing_attention") != number:
                    await asyncio.sleep(0.02)
            await admin.execute("UPDATE orders SET attention = NULL")
