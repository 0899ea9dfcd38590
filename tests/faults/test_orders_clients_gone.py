"""Clients that disconnect in the middle of an order: it has all its rows, or none."""

from pathlib import Path

import asyncpg
import psutil

from local.postgres import Server
from tests.api.orders.ordering import CAKE, TEA
from tests.faults.test_clients_gone import many_go_away, request, until_all_are_gone
from tests.ports import find_free_port
from tests.processes.live import gunicorn
from tests.rounds import STALL, rounds

GONE = rounds(quick=400, full=4_000)
WRITTEN = (
    "SELECT count(*), count(*) FILTER (WHERE"
    " (SELECT count(*) FROM order_items WHERE order_id = orders.id) <> 3"
    " OR (SELECT count(*) FROM order_events WHERE order_id = orders.id) <> 1) FROM orders"
)


def ordering() -> bytes:
    return request("POST", "/orders", {"order": [TEA, CAKE, TEA]})


async def test_no_order_of_a_client_that_disconnects_is_written_by_halves(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    port = find_free_port()
    with gunicorn(server.environment(database) | {"WEB_CONCURRENCY": "1"}, port, tmp_path / "api.log") as master:
        (worker,) = psutil.Process(master.pid).children()
        await many_go_away(port, GONE, ordering)
        await until_all_are_gone(worker, admin, 20 + STALL)
    orders, half_written = await admin.fetchrow(WRITTEN) or (0, 0)
    assert orders > GONE / 10
    assert half_written == 0
