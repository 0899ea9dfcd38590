"""Orders, their items, and the changes of their state."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Enum, ForeignKey, Identity, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from api.enums.orders import OrderStatus, Size
from api.models.base import Base

# Literals, because a query with a parameter in its condition can't use a partial index with that condition.
NOT_DELETED = text("deleted_at IS NULL")
CANCELLED = text("deleted_at IS NULL AND status = 'cancelled'")
NOT_CANCELLED = text("deleted_at IS NULL AND status <> 'cancelled'")
NEEDS_ATTENTION = text("deleted_at IS NULL AND attention IS NOT NULL")
COUNTED = text("status <> 'delivered' AND NOT is_emptied")
TO_BE_EMPTIED = text("deleted_at IS NOT NULL AND NOT is_emptied")

STATUS = Enum(OrderStatus, name="order_status", values_callable=lambda statuses: [member.value for member in statuses])
SIZE = Enum(Size, name="item_size", values_callable=lambda sizes: [member.value for member in sizes])


class OrderItem(Base):
    """A line of an order; `position` is its place in it, from 0 on."""

    __tablename__ = "order_items"
    __table_args__ = (
        CheckConstraint("position >= 0", "position"),
        CheckConstraint("product <> ''", "product"),
        CheckConstraint("quantity BETWEEN 1 AND 1000000", "quantity"),
    )

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer(), primary_key=True)
    product: Mapped[str]
    size: Mapped[Size] = mapped_column(SIZE)
    quantity: Mapped[int] = mapped_column(Integer())


class Order(Base):
    """A user's order. The id is a UUIDv7: in descending id order, the newest is first.

    Until `claimed_until`, a worker waits for an external service about this order. `is_being_paid` says that a payment
    may have been requested, with a result that is not known; paying again, with the same key, settles it.
    `settle_failures` says how often that has failed, and `attention`, why keepers have to look at the order. An order
    that is deleted is some time later `is_emptied`: its items are gone.
    """

    __tablename__ = "orders"
    __table_args__ = (
        # The rules of orders (api/crud/orders), which the code follows; these hold even if it fails to.
        CheckConstraint("status IN ('created', 'cancelled') OR payment_id IS NOT NULL OR is_paid_at_till", "paid"),
        CheckConstraint("NOT is_being_paid OR (status = 'created' AND deleted_at IS NULL)", "being_paid"),
        CheckConstraint(
            "status <> 'created' OR deleted_at IS NOT NULL OR is_being_paid OR payment_id IS NULL",
            "unpaid",
        ),
        CheckConstraint("NOT is_paid_at_till OR is_being_paid OR status <> 'created'", "paid_at_till"),
        CheckConstraint("payment_id IS NULL OR NOT is_paid_at_till", "paid_once"),
        CheckConstraint("deleted_at IS NULL OR status IN ('created', 'cancelled', 'delivered')", "deleted"),
        CheckConstraint("NOT is_emptied OR deleted_at IS NOT NULL", "emptied"),
        # A page of each list (everybody's or a user's, of any status, cancelled or not) is one range of one index.
        Index("ix_orders_id", "id", postgresql_where=NOT_DELETED),
        Index("ix_orders_id_cancelled", "id", postgresql_where=CANCELLED),
        Index("ix_orders_id_not_cancelled", "id", postgresql_where=NOT_CANCELLED),
        # Of all orders of a user, for the foreign key. Without `id`, Postgres may sort all of them for a page.
        Index("ix_orders_user_id_id_any", "user_id", "id"),
        Index("ix_orders_user_id_id", "user_id", "id", postgresql_where=NOT_DELETED),
        Index("ix_orders_user_id_id_cancelled", "user_id", "id", postgresql_where=CANCELLED),
        Index("ix_orders_user_id_id_not_cancelled", "user_id", "id", postgresql_where=NOT_CANCELLED),
        Index("ix_orders_id_being_paid", "id", postgresql_where=text("is_being_paid")),
        Index("ix_orders_id_needs_attention", "id", postgresql_where=NEEDS_ATTENTION),
        Index("ix_orders_user_id_counted", "user_id", postgresql_where=COUNTED),
        Index("ix_orders_deleted_at", "deleted_at", postgresql_where=TO_BE_EMPTIED),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    status: Mapped[OrderStatus] = mapped_column(STATUS, server_default=OrderStatus.CREATED.value)
    claimed_until: Mapped[datetime | None]
    is_being_paid: Mapped[bool] = mapped_column(server_default="false")
    payments_refused: Mapped[int] = mapped_column(Integer(), server_default="0")
    payment_id: Mapped[str | None]
    is_paid_at_till: Mapped[bool] = mapped_column(server_default="false")
    schedule_id: Mapped[str | None]
    settle_failures: Mapped[int] = mapped_column(Integer(), server_default="0")
    attention: Mapped[str | None]
    is_emptied: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp())
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.statement_timestamp(), onupdate=func.statement_timestamp()
    )
    deleted_at: Mapped[datetime | None]

    items: Mapped[list[OrderItem]] = relationship(
        lazy="raise", order_by=OrderItem.position, cascade="all, delete-orphan"
    )


class OrderEvent(Base):
    """A change of an order's state. Without a user, the api itself made it, or a user whose account is deleted."""

    __tablename__ = "order_events"
    __table_args__ = (
        CheckConstraint("from_status IS DISTINCT FROM to_status", "change"),
        Index(None, "order_id", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"))
    from_status: Mapped[OrderStatus | None] = mapped_column(STATUS)
    to_status: Mapped[OrderStatus] = mapped_column(STATUS)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp())
