"""Orders of visitors, as they might be after years, and the requests that are measured of them."""

import asyncpg

from benchmarks.scale_data import Rows, pick
from benchmarks.scale_requests import Request, get
from benchmarks.scale_users import KEEPER, REGULAR, VISITOR

# A visitor has a hundred open orders at most, and so the regular one has none.
_SQL = f"""
CREATE TEMPORARY TABLE new_orders ON COMMIT DROP AS
SELECT n, uuidv7(interval '-4 years' + n * interval '5 s') AS id, users.id AS user_id, kind
FROM generate_series({{first}}, {{last}}) AS n,
    LATERAL (SELECT {pick(100, 1)}) AS picked (kind),
    LATERAL (SELECT CASE WHEN n <= 50 THEN '{VISITOR}' WHEN n % 100 = 0 AND kind <> 3 THEN '{REGULAR}'
        ELSE 'v' || 1 + {pick("{visitors}", 2)} END || '@zoo.example') AS of (email)
    JOIN users USING (email)
ORDER BY n;
INSERT INTO orders (id, user_id, status, payment_id, attention, deleted_at, created_at, updated_at)
SELECT id, user_id,
    (CASE WHEN kind < 3 THEN 'cancelled' WHEN kind = 3 THEN 'created' ELSE 'delivered' END)::order_status,
    CASE WHEN kind > 3 THEN 'p' || n END, CASE WHEN n % 100000 = 10 THEN 'The kitchen refused it' END,
    CASE WHEN kind = 99 THEN now() END, uuid_extract_timestamp(id), uuid_extract_timestamp(id)
FROM new_orders;
INSERT INTO order_items (order_id, position, product, size, quantity)
SELECT id, 0, 'Lemonade', 'big', 1 FROM new_orders;
INSERT INTO order_events (order_id, from_status, to_status, user_id)
SELECT id, NULL::order_status, 'created'::order_status, user_id FROM new_orders
UNION ALL SELECT id, 'created', 'delivered', NULL FROM new_orders WHERE kind > 3
"""
ROWS = Rows(_SQL, ("orders", "order_items", "order_events"))
SETTLE = (
    "UPDATE orders SET status = 'delivered', payment_id = 'p'"
    " WHERE id > (SELECT uuidv7(interval '-1 h')) AND status = 'created' AND deleted_at IS NULL"
)

ORDER = {"order": [{"product": "Lemonade", "size": "big", "quantity": 1}]}
NEW_ORDER = Request("POST /orders", "POST", "/orders", ORDER, before=SETTLE, who=VISITOR)
REQUESTS = [
    get("/orders", who=VISITOR),
    get("/orders?cancelled=true", who=VISITOR),
    get("/orders?needs_attention=true", who=VISITOR),
    get("/orders", who=REGULAR),
    get("/orders?cancelled=true", who=REGULAR),
    get("/orders?needs_attention=true", who=REGULAR),
    get("/orders", who=KEEPER),
    get("/orders?after={order}", who=KEEPER),
    get("/orders?cancelled=true", who=KEEPER),
    get("/orders?cancelled=false&needs_attention=false", who=KEEPER),
    get("/orders?needs_attention=true", who=KEEPER),
    get("/orders/{order}", who=KEEPER),
    get("/orders/{order}/events", who=KEEPER),
    NEW_ORDER,
    Request("POST /orders, by regular", "POST", "/orders", ORDER, before=SETTLE, who=REGULAR),
    Request("PUT /orders/{id}", "PUT", "/orders/{made}", ORDER, NEW_ORDER, SETTLE, who=VISITOR),
    Request("POST /orders/{id}/pay", "POST", "/orders/{made}/pay", None, NEW_ORDER, SETTLE, who=VISITOR),
    Request("POST /orders/{id}/cancel", "POST", "/orders/{made}/cancel", None, NEW_ORDER, SETTLE, who=VISITOR),
    Request("DELETE /orders/{id}", "DELETE", "/orders/{made}", None, NEW_ORDER, SETTLE, who=VISITOR),
]


async def places(observer: asyncpg.Connection, size: int) -> dict[str, str]:
    """An order in the middle, of so many."""
    order = await observer.fetchval(
        "SELECT id FROM orders WHERE id >= (SELECT uuidv7(interval '-4 years' + $1 * interval '5 s'))"
        " AND deleted_at IS NULL ORDER BY id LIMIT 1",
        size // 2,
    )
    return {"order": str(order)}
