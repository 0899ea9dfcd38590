"""The cost of a list of orders with their items."""

from benchmarks import load, statements
from benchmarks.load import Request
from benchmarks.report import Section, table
from benchmarks.stack import Zoo
from benchmarks.users import KEEPER

ORDERS, ITEMS = 100, 3
"""How many, and of how many items each."""
FILL = [
    f"INSERT INTO orders (id, user_id) SELECT uuidv7(), id FROM users, generate_series(1, {ORDERS})",
    f"INSERT INTO order_items SELECT id, n, 'Lemonade', 'big', 1 FROM orders, generate_series(0, {ITEMS - 1}) AS n",
]
REQUEST = Request("/orders", token=KEEPER)


def measure(zoo: Zoo) -> Section:
    """Measure the list, beside an animal by its id."""
    zoo.execute(*FILL)
    with zoo.serve("ours") as app:
        rows = []
        for name, request in (("GET /animals/1", Request("/animals/1")), (f"{REQUEST}, {ORDERS} of {ITEMS}", REQUEST)):
            found = load.median([load.send(app, request, seconds=zoo.scale.seconds) for _ in range(zoo.scale.rounds)])
            rows.append([name, f"{found.cpu * 1e6:,.0f} µs", f"{found.rate:,.0f}", f"{found.p50 * 1e3:.1f} ms"])
    sent = ", ".join(f"`{statement}`" for statement in statements.of(zoo, "GET", "/orders"))
    text = f"The list sends {sent}.\n\n{table(['request', 'CPU/request', 'requests/s', 'p50'], rows)}"
    return Section("A list of orders with their items", text)
