"""How much one visitor may store: nobody who only has an account can fill the disk."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.accounts.access_tokens import Caller
from api.enums.orders import OrderStatus
from api.enums.users import UserType
from api.errors import TooManyRequests
from api.models.orders import COUNTED, Order, OrderItem
from api.models.users import User
from api.schemas.orders import ItemCreate

# Of a visitor. Open are orders that are neither delivered, cancelled nor deleted.
MAX_OPEN_ORDERS = 100
# Of all orders that are not delivered, because nobody of the zoo has seen those; of deleted ones, until they are
# emptied.
MAX_BYTES = 4_000_000
BYTES_OF_A_ROW = 100  # besides an item's text
WAIT_SECONDS = 60


async def require_room(
    session: AsyncSession, caller: Caller, items: Sequence[ItemCreate], replaced: UUID | None = None
) -> None:
    """TooManyRequests if a visitor has no room for one more order of these items, or for them in place of others.

    The visitor's requests go one after the other from here to the end of the transaction, so that all are counted.
    """
    if caller.type is not UserType.VISITOR:
        return
    await session.execute(select(User.id).where(User.id == caller.id).with_for_update(key_share=True))
    size_of_items = func.sum(func.octet_length(OrderItem.product) + BYTES_OF_A_ROW)  # an order has one at least
    size = BYTES_OF_A_ROW + select(size_of_items).where(OrderItem.order_id == Order.id).scalar_subquery()
    is_open = Order.deleted_at.is_(None), Order.status != OrderStatus.CANCELLED
    counted = select(func.count().filter(*is_open), func.coalesce(func.sum(size), 0)).where(
        Order.user_id == caller.id, COUNTED, Order.id.is_distinct_from(replaced)
    )
    number, stored = (await session.execute(counted)).one()
    if replaced is None and number >= MAX_OPEN_ORDERS:
        raise TooManyRequests(
            f"You have {number} open orders: wait until some are delivered, or cancel some", WAIT_SECONDS
        )
    added = BYTES_OF_A_ROW + sum(BYTES_OF_A_ROW + len(item.product.encode()) for item in items)
    if stored + added > MAX_BYTES:
        raise TooManyRequests("Your orders take up too much room: order less, or delete some", WAIT_SECONDS)
