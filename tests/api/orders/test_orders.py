"""Orders: the contract, and the rules for changing them."""

import re
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from api.crud.accounts.access_tokens import Caller
from api.crud.orders import reads
from api.crud.orders.rules import TRANSITIONS, Action
from api.enums.orders import OrderStatus
from api.enums.users import UserType
from api.schemas.orders import OrderQuery
from local.postgres import Server
from tests.api.orders.ordering import CAKE, TEA, bring, events_of, order, status_of
from tests.api.recorder import Recorder
from tests.users import ADMIN, KEEPER, VISITOR, email_of

JSON = {"Content-Type": "application/json"}
ALL = list(OrderStatus)


async def test_items_and_events_keep_their_order_wherever_postgres_has_their_rows(
    client: httpx.AsyncClient, session: AsyncSession
) -> None:
    path = await bring(client, "progress")
    items = [TEA, CAKE, TEA | {"product": "Scone"}]
    whole = await order(client, *items)
    for table, first in (("order_items", "position = 0"), ("order_events", "from_status IS NULL")):
        await session.execute(text(f"UPDATE {table} SET order_id = order_id WHERE {first}"))  # now the last
    for way in ("indexscan", "bitmapscan"):
        await session.execute(text(f"SET LOCAL enable_{way} = off"))  # as Postgres may decide to
    await session.commit()
    [listed, _] = (await client.get("/orders")).json()["orders"]
    assert listed["order"] == (await client.get(whole)).json()["order"] == items
    assert await events_of(client, path) == [(None, "created"), ("created", "paid"), ("paid", "progress")]


class TestCreate:
    async def test_answers_201_with_the_order_and_its_location(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/orders", json={"order": [TEA, CAKE]}, headers=VISITOR)
        made = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Location"] == f"/orders/{made['id']}"
        assert made.keys() == {"id", "created", "status", "order"}
        assert UUID(made["id"]).version == 7
        assert datetime.fromisoformat(made["created"]).tzinfo is not None
        assert (made["status"], made["order"]) == ("created", [TEA, CAKE])
        assert (await client.get(answer.headers["Location"], headers=VISITOR)).json() == made

    async def test_only_the_quantity_of_an_item_may_be_left_out(self, client: httpx.AsyncClient) -> None:
        made = await client.post("/orders", json={"order": [{"product": "Tea", "size": "medium"}]})
        assert made.json()["order"] == [{"product": "Tea", "size": "medium", "quantity": 1}]
        for missing in ("product", "size"):
            item = {name: value for name, value in TEA.items() if name != missing}
            assert (await client.post("/orders", json={"order": [item]})).status_code == 422

    async def test_items_stay_in_their_order_and_as_they_were_written(self, client: httpx.AsyncClient) -> None:
        items = [{"product": f"Tea  no. {n} 🫖", "size": "big", "quantity": 1_000_000} for n in range(100)]
        path = await order(client, *items)
        assert (await client.get(path)).json()["order"] == items

    async def test_an_invalid_item_is_422_and_says_where(self, client: httpx.AsyncClient) -> None:
        path = await order(client)
        for field, value in [
            ("product", ""), ("product", None), ("product", 1), ("product", "x" * 201), ("product", "a\x00b"),
            ("product", " \u200b"), ("product", "a\u202eb"), ("size", "huge"), ("size", None), ("size", 1),
            ("size", "BIG"), ("quantity", None), ("quantity", 0), ("quantity", 1_000_001), ("quantity", 10**20),
            ("quantity", 1.0), ("quantity", "1"), ("quantity", True), ("quantity", [1]), ("price", 1),
        ]:  # fmt: skip
            answer = await client.post("/orders", json={"order": [TEA, TEA | {field: value}]})
            assert (answer.status_code, field, value) == (422, field, value)
            assert answer.json().keys() == {"detail"}
            assert answer.json()["detail"][0]["loc"] == ["body", "order", 1, field]
        again = await client.put(path, json={"order": [TEA, TEA | {"quantity": 0}]})
        assert (again.status_code, again.json()["detail"][0]["loc"]) == (422, ["body", "order", 1, "quantity"])
        assert len((await client.get("/orders")).json()["orders"]) == 1  # nothing is half-written
        assert (await client.get(path)).json()["order"] == [TEA]

    async def test_an_invalid_body_is_422(self, client: httpx.AsyncClient) -> None:
        path = await order(client)
        bodies: list[Any] = [
            {}, {"order": []}, {"order": None}, {"order": {}}, {"order": "tea"}, {"order": [None]}, {"order": [[]]},
            {"order": [TEA] * 101}, {"order": [TEA], "status": "paid"}, [], None,
        ]  # fmt: skip
        for body in bodies:
            for answer in [await client.post("/orders", json=body), await client.put(path, json=body)]:
                assert (answer.status_code, answer.json().keys()) == (422, {"detail"}), str(body)[:40]

    async def test_invalid_json_is_a_4xx(self, client: httpx.AsyncClient) -> None:
        for content, status in [("{", 422), ('{"order": [{"product": "\\ud800", "size": "big"}]}', 422)]:
            assert (await client.post("/orders", content=content, headers=JSON)).status_code == status
        plain = {"Content-Type": "text/plain"}
        assert (await client.post("/orders", content='{"order": []}', headers=plain)).status_code == 415


class TestSight:
    async def test_a_visitor_sees_and_touches_only_own_orders(self, client: httpx.AsyncClient) -> None:
        path = await order(client, who=KEEPER)
        missing = f"/orders/{uuid4()}"
        for method, suffix in [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/pay"), ("POST", "/cancel")]:
            body = {"order": [CAKE]} if method == "PUT" else None
            answer = await client.request(method, path + suffix, json=body, headers=VISITOR)
            unknown = await client.request(method, missing + suffix, json=body, headers=VISITOR)
            assert (answer.status_code, unknown.status_code) == (404, 404)
            assert answer.json() == {"detail": f"No order {path.rpartition('/')[2]}"}
        assert (await client.get("/orders", headers=VISITOR)).json() == {"orders": []}
        assert (await client.get(path, headers=KEEPER)).json()["order"] == [TEA]
        assert await status_of(client, path) == "created"

    async def test_a_list_has_no_order_of_users_whose_ids_are_smaller_or_larger(
        self, client: httpx.AsyncClient, session: AsyncSession
    ) -> None:
        mine = [await order(client) for _ in range(2)]
        for user_id, name in ((UUID(int=1), "smallest"), (UUID(int=2**128 - 2), "largest")):
            await session.execute(
                text("INSERT INTO users (id, email, hashed_password) VALUES (:id, :email, '')"),
                {"id": user_id, "email": email_of(name)},
            )
            for status in ("created", "cancelled"):
                await session.execute(
                    text("INSERT INTO orders (id, user_id, status) VALUES (uuidv7(), :id, CAST(:s AS order_status))"),
                    {"id": user_id, "s": status},
                )
        await session.commit()
        mine += [await bring(client, "cancelled")]
        for query, expected in (("", mine), ("?cancelled=false", mine[:2]), ("?cancelled=true", mine[2:])):
            assert await listed(client, query) == expected[::-1]
        assert await listed(client, f"?after={mine[1].rpartition('/')[2]}") == mine[:1]
        assert len((await client.get("/orders", headers=KEEPER)).json()["orders"]) == 7

    async def test_keepers_and_admins_see_and_touch_all(self, client: httpx.AsyncClient) -> None:
        path = await order(client)
        for who in (KEEPER, ADMIN):
            assert (await client.get(path, headers=who)).status_code == 200
            assert len((await client.get("/orders", headers=who)).json()["orders"]) == 1
        assert (await client.put(path, json={"order": [CAKE]}, headers=KEEPER)).status_code == 200
        assert (await client.post(f"{path}/pay", headers=KEEPER)).status_code == 200

    async def test_an_invalid_id_is_422(self, client: httpx.AsyncClient) -> None:
        for method, suffix in [
            ("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/pay"), ("POST", "/cancel"), ("POST", "/advance"),
            ("GET", "/events"),
        ]:  # fmt: skip
            body = {"order": [TEA]} if method == "PUT" else None
            answer = await client.request(method, f"/orders/x{suffix}", json=body)
            assert (answer.status_code, answer.json().keys()) == (422, {"detail"}), (method, suffix)
        for bad in ("1", "%00", "00000000-0000-0000-0000-00000000000g", "a" * 5_000):
            answer = await client.get(f"/orders/{bad}")
            assert (answer.status_code, answer.json().keys()) == (422, {"detail"}), bad[:40]

    async def test_the_orders_of_a_deleted_user_stay(
        self, committing_client: httpx.AsyncClient, admin: asyncpg.Connection
    ) -> None:
        path = await order(committing_client)
        user = await admin.fetchval("SELECT id FROM users WHERE email = $1", email_of("visitor"))
        assert (await committing_client.delete(f"/users/{user}")).status_code == 204
        assert (await committing_client.get(path)).status_code == 200
        events = (await committing_client.get(f"{path}/events")).json()["events"]
        assert [event["user_id"] for event in events] == [None]


async def act(client: httpx.AsyncClient, path: str, action: Action) -> httpx.Response:
    if action is Action.REPLACE:
        return await client.put(path, json={"order": [CAKE]})
    if action is Action.DELETE:
        return await client.delete(path)
    return await client.post(
        f"{path}/{ {Action.PAY: 'pay', Action.CANCEL: 'cancel', Action.ADVANCE: 'advance'}[action] }"
    )


async def one_in_each(session: AsyncSession) -> dict[OrderStatus, str]:
    """The paths of orders of the visitor, one with each status, by which."""
    made = await session.execute(
        text(
            "WITH made AS (INSERT INTO orders (id, user_id, status, is_paid_at_till)"
            " SELECT uuidv7(), users.id, s, s NOT IN ('created', 'cancelled')"
            " FROM users, unnest(enum_range(NULL::order_status)) AS s WHERE email = :email RETURNING id, status), "
            "items AS (INSERT INTO order_items SELECT id, 0, 'Tea', 'small', 1 FROM made) SELECT id, status FROM made"
        ),
        {"email": email_of("visitor")},
    )
    await session.commit()
    return {OrderStatus(row.status): f"/orders/{row.id}" for row in made}


class TestSteps:
    @pytest.mark.parametrize("action", Action)
    async def test_every_allowed_step_is_made_and_recorded_and_every_other_is_409(
        self, client: httpx.AsyncClient, session: AsyncSession, action: Action
    ) -> None:
        paths = await one_in_each(session)
        assert paths.keys() == set(ALL)
        for status, path in paths.items():
            answer = await act(client, path, action)
            target = TRANSITIONS[action].get(status)
            if target is None:
                assert (answer.status_code, status) == (409, status)
                assert answer.json().keys() == {"detail"}
                assert f"is {status}: it can't be {action.value}" in answer.json()["detail"]
                assert (await client.get(path)).json()["order"] == [TEA]
            elif action is Action.DELETE:
                assert (answer.status_code, answer.content, status) == (204, b"", status)
                assert (await client.get(path)).status_code == 404
                continue
            else:
                assert (answer.status_code, answer.json()["status"], status) == (200, target, status)
                assert answer.json()["order"] == ([CAKE] if action is Action.REPLACE else [TEA])
                assert (await client.get(path)).json() == answer.json()
            made = [] if target in {None, status} else [(status, target)]
            found = await session.execute(
                text("SELECT from_status, to_status FROM order_events WHERE order_id = :id"), {"id": path[-36:]}
            )
            assert [tuple(row) for row in found] == made

    def test_the_contract_in_one_table(self) -> None:
        s = OrderStatus
        same = {status: status for status in ALL}
        made = (s.PAID, s.PROGRESS, s.DISPATCHED, s.DELIVERED)
        contract = {
            Action.REPLACE: {s.CREATED: s.CREATED},
            Action.DELETE: {status: same[status] for status in (s.CREATED, s.CANCELLED, s.DELIVERED)},
            Action.PAY: {s.CREATED: s.PAID} | {status: same[status] for status in made},
            Action.CANCEL: dict.fromkeys([s.CREATED, s.PAID, s.PROGRESS, s.CANCELLED], s.CANCELLED),
            Action.ADVANCE: {s.PAID: s.PROGRESS, s.PROGRESS: s.DISPATCHED, s.DISPATCHED: s.DELIVERED},
        }
        assert contract == TRANSITIONS

    async def test_nobody_sees_a_deleted_order(self, client: httpx.AsyncClient) -> None:
        path = await order(client)
        assert (await client.delete(path, headers=VISITOR)).status_code == 204
        assert [(await act(client, path, action)).status_code for action in Action] == [404] * len(Action)
        assert (await client.get("/orders")).json() == {"orders": []}

    async def test_new_items_are_a_change_of_the_order(self, client: httpx.AsyncClient, session: AsyncSession) -> None:
        path = await order(client)
        assert (await client.put(path, json={"order": [CAKE]}, headers=VISITOR)).status_code == 200
        assert await session.scalar(text("SELECT updated_at > created_at FROM orders"))

    async def test_events_say_who_and_when(self, client: httpx.AsyncClient, session: AsyncSession) -> None:
        path = await bring(client, "progress")
        users = {row.email: row.id for row in await session.execute(text("SELECT email, id FROM users"))}
        visitor, keeper = users[email_of("visitor")], users[email_of("keeper")]
        answer = await client.get(f"{path}/events", headers=KEEPER)
        events = answer.json()["events"]
        assert [(e["from"], e["to"], e["user_id"]) for e in events] == [
            (None, "created", str(visitor)),
            ("created", "paid", str(keeper)),
            ("paid", "progress", str(keeper)),
        ]
        assert {e["order_id"] for e in events} == {path.rpartition("/")[2]}
        moments = [datetime.fromisoformat(e["created"]) for e in events]
        assert moments == sorted(moments)
        assert all(moment.tzinfo for moment in moments)

    async def test_without_services_an_order_is_paid_at_the_till(
        self, client: httpx.AsyncClient, session: AsyncSession
    ) -> None:
        await bring(client, "paid")
        found = await session.execute(text("SELECT is_paid_at_till, payment_id, is_being_paid FROM orders"))
        assert found.one() == (True, None, False)


class TestDatabase:
    """What the code may fail to check, the database rejects."""

    async def test_an_impossible_order(self, session: AsyncSession) -> None:
        await fill(session, 1)
        changes = [
            "status = 'paid'",
            "status = 'delivered'",
            "status = 'eaten'",
            "status = NULL",
            "payment_id = 'p'",
            "is_being_paid = true, deleted_at = now()",
            "is_being_paid = true, status = 'cancelled'",
            "is_paid_at_till = true, payment_id = 'p', status = 'paid'",
            "is_paid_at_till = true, status = 'paid', deleted_at = now()",
            "is_paid_at_till = true",
            "user_id = gen_random_uuid()",
        ]
        assert [change for change in changes if not await is_rejected(session, f"orders SET {change}")] == []

    async def test_an_impossible_item(self, session: AsyncSession) -> None:
        await fill(session, 1)
        changes = [
            "quantity = 0",
            "quantity = 1000001",
            "product = ''",
            "size = 'huge'",
            "position = -1",
            "order_id = gen_random_uuid()",
        ]
        assert [change for change in changes if not await is_rejected(session, f"order_items SET {change}")] == []


async def is_rejected(session: AsyncSession, change: str) -> bool:
    """Whether the database finds that a value, or a row, can't be so."""
    try:
        async with session.begin_nested():
            await session.execute(text(f"UPDATE {change}"))
    except DBAPIError as error:
        return re.search("violates|invalid input value", str(error)) is not None
    return False


async def listed(client: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await client.get(f"/orders{query}", headers=VISITOR)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"orders"}
    return [f"/orders/{found['id']}" for found in answer.json()["orders"]]


class TestList:
    async def test_the_newest_is_first(self, client: httpx.AsyncClient) -> None:
        assert await listed(client) == []
        made = [await order(client) for _ in range(3)]
        assert await listed(client) == made[::-1]

    async def test_cancelled_or_not_or_both(self, client: httpx.AsyncClient) -> None:
        new, cancelled, paid = [await bring(client, status) for status in ("created", "cancelled", "paid")]
        assert await listed(client) == [paid, cancelled, new]
        assert await listed(client, "?cancelled=true") == [cancelled]
        assert await listed(client, "?cancelled=false") == [paid, new]

    async def test_further_pages_are_linked_and_keep_the_filter(self, client: httpx.AsyncClient) -> None:
        made = [await order(client) for _ in range(5)]
        await bring(client, "cancelled")
        found, url = [], "/orders?limit=2&cancelled=false"
        while url:
            page = await client.get(url, headers=VISITOR)
            found += [f"/orders/{one['id']}" for one in page.json()["orders"]]
            url = page.links.get("next", {}).get("url", "")
            assert not url or "cancelled=false" in url
        assert found == made[::-1]

    async def test_a_page_has_a_hundred_at_most(self, client: httpx.AsyncClient, session: AsyncSession) -> None:
        await fill(session, 205)
        assert len(await listed(client)) == 100
        for limit in (101, 1_000, 2**63 - 1):
            page = await client.get(f"/orders?limit={limit}", headers=VISITOR)
            assert len(page.json()["orders"]) == 100
            rest = await client.get(page.links["next"]["url"], headers=VISITOR)
            assert len(rest.json()["orders"]) == 100
            assert len((await client.get(rest.links["next"]["url"], headers=VISITOR)).json()["orders"]) == 5

    async def test_an_invalid_query_is_422(self, client: httpx.AsyncClient) -> None:
        for query in (
            "limit=0", f"limit={10**20}", "limit=", "limit=x", "limit=1.5", "limit=%00", "cancelled=maybe",
            "cancelled=", "cancelled=2", "cancelled=%00", "after=x", "after=1", "canceled=true",
        ):  # fmt: skip
            answer = await client.get(f"/orders?{query}")
            assert (answer.status_code, answer.json().keys()) == (422, {"detail"}), query
            assert answer.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


async def fill(session: AsyncSession, number: int) -> None:
    """This number of orders of the visitor."""
    await session.execute(
        text(
            "INSERT INTO orders (id, user_id, status)"
            " SELECT uuidv7(), users.id, 'created' FROM users, generate_series(1, :number) WHERE email = :email"
        ),
        {"number": number, "email": email_of("visitor")},
    )
    await session.execute(text("INSERT INTO order_items SELECT id, 0, 'Tea', 'small', 1 FROM orders"))
    await session.commit()


class TestPages:
    """Postgres writes the orders of a list, pydantic a single one."""

    async def test_an_order_is_the_same_in_a_list_and_alone(self, client: httpx.AsyncClient) -> None:
        for items in ([TEA], [CAKE, TEA], [TEA | {"product": 'a "quoted" \\ & 🍰'}, CAKE, CAKE]):
            path = await order(client, *items)
            alone = (await client.get(path, headers=VISITOR)).json()
            assert alone["order"] == [{"quantity": 1} | item for item in items]
            page = await client.get("/orders?limit=1", headers=VISITOR)
            assert page.json()["orders"] == [alone]


class TestCost:
    async def test_a_page_takes_the_same_number_of_statements_at_any_length(
        self, client: httpx.AsyncClient, connection: AsyncConnection, session: AsyncSession
    ) -> None:
        await fill(session, 100)
        sent: list[str] = []
        driver: Any = (await connection.get_raw_connection()).driver_connection

        def note(query: asyncpg.connection.LoggedQuery) -> None:
            sent.append(query.query)

        driver.add_query_logger(note)
        counts = []
        for limit in (1, 10, 100):
            sent.clear()
            assert len(await listed(client, f"?limit={limit}")) == limit
            counts.append(len([statement for statement in sent if "SAVEPOINT" not in statement]))
        driver.remove_query_logger(note)
        assert counts == [2, 2, 2]  # the caller, and the orders with their items

    async def test_a_page_is_one_range_of_an_index_at_any_depth(
        self, server: Server, database: str, admin: asyncpg.Connection
    ) -> None:
        await admin.execute(
            "INSERT INTO orders (id, user_id, status, deleted_at)"
            " SELECT uuidv7(), users.id, CASE n % 2 WHEN 0 THEN 'cancelled' ELSE 'created' END::order_status,"
            " CASE n % 3 WHEN 0 THEN now() END FROM generate_series(1, 1000) AS n, users"
        )
        await admin.execute("ANALYZE orders")
        user = await admin.fetchval("SELECT id FROM users WHERE type = 'visitor'")
        deep = await admin.fetchval("SELECT id FROM orders ORDER BY id OFFSET 500 LIMIT 1")
        api = await asyncpg.connect(server.url("zoo_api", database))
        await api.execute("SET plan_cache_mode = force_generic_plan")  # as after many of the same requests
        for who, index in ((UserType.VISITOR, "ix_orders_user_id_id"), (UserType.KEEPER, "ix_orders_id")):
            for cancelled, suffix in ((None, ""), (True, "_cancelled"), (False, "_not_cancelled")):
                for after in (None, deep):
                    query = OrderQuery(cancelled=cancelled, limit=50, after=after)
                    plan = await plan_of(api, Caller(user, who), query)
                    scan = rf"Index Scan Backward using {index}{suffix} on orders \(actual rows=(\d+)"
                    found = re.search(scan, plan)
                    assert found, plan
                    assert int(found[1]) <= 51, plan
                    assert "Sort Key: orders" not in plan
                    assert "Filter" not in plan
        await api.close()


async def plan_of(connection: asyncpg.Connection, caller: Caller, query: OrderQuery) -> str:
    """How Postgres reads a page of the list."""
    recorder = Recorder(connection)
    await reads.list_page(recorder, caller, query)
    sql, values = recorder.sent[0]
    explain = "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF, SUMMARY OFF, BUFFERS OFF)"
    return "\n".join(row[0] for row in await connection.fetch(f"{explain} {sql}", *values))
