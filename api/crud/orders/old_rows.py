"""What gets old of orders: the items of those that were deleted."""

from datetime import timedelta

from sqlalchemy import delete, func, literal_column, select, true, update

from api.crud.old_rows import OldRows, is_old
from api.database.statements import Statement
from api.models.orders import TO_BE_EMPTIED, Order, OrderItem

ORDERS_AT_ONCE = 50
ITEMS_KEPT_FOR = timedelta(days=30)


def _empty() -> Statement[int]:
    """Removes the items of some orders that were deleted long ago, and returns of how many."""
    some = select(Order.id).where(TO_BE_EMPTIED, is_old(Order.deleted_at)).order_by(Order.deleted_at)
    some = some.limit(literal_column(str(ORDERS_AT_ONCE))).with_for_update(key_share=True, skip_locked=True)
    old = some.cte("old")
    emptied = (
        update(Order).where(Order.id.in_(select(old.c.id))).values(is_emptied=true()).returning(Order.id).cte("emptied")
    )
    gone = delete(OrderItem).where(OrderItem.order_id.in_(select(emptied.c.id))).returning(true()).cte("gone")
    return Statement(select(func.count()).select_from(emptied).add_cte(gone), int)


OLD_ROWS = [OldRows(_empty(), ITEMS_KEPT_FOR, ORDERS_AT_ONCE)]
