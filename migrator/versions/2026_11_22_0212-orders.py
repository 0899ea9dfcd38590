"""orders

Why: orders, what becomes of them, and the answers to requests that a client may repeat, for release 0.3.0 of the api.
New tables only.

Revision: 3b8a500f1cd2
Follows: 23362e1d1fec
Created: 2026-11-22 02:12:39.605509+00:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "3b8a500f1cd2"
down_revision = "23362e1d1fec"
branch_labels = None
depends_on = None

# Of two tables, so that neither makes it.
STATUSES = ("created", "paid", "progress", "cancelled", "dispatched", "delivered")
STATUS = postgresql.ENUM(*STATUSES, name="order_status", create_type=False)


def upgrade() -> None:
    sa.Enum(*STATUSES, name="order_status").create(op.get_bind())
    # lint: allow foreign-key-in-create-table: the revision makes new tables only, so users is locked for an instant
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("(status IS NULL) = (response IS NULL)", name=op.f("ck_idempotency_keys_answer")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_idempotency_keys_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    # lint: allow foreign-key-in-create-table: the revision makes new tables only, so users is locked for an instant
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column(
            "status",
            STATUS,
            server_default="created",
            nullable=False,
        ),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_being_paid", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("payments_refused", sa.Integer(), server_default="0", nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=True),
        sa.Column("is_paid_at_till", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("schedule_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "NOT is_being_paid OR (status = 'created' AND deleted_at IS NULL)", name=op.f("ck_orders_being_paid")
        ),
        sa.CheckConstraint(
            "deleted_at IS NULL OR status IN ('created', 'cancelled', 'delivered')", name=op.f("ck_orders_deleted")
        ),
        sa.CheckConstraint(
            "status <> 'created' OR deleted_at IS NOT NULL OR is_being_paid OR payment_id IS NULL",
            name=op.f("ck_orders_unpaid"),
        ),
        sa.CheckConstraint(
            "NOT is_paid_at_till OR is_being_paid OR status <> 'created'", name=op.f("ck_orders_paid_at_till")
        ),
        sa.CheckConstraint(
            "status IN ('created', 'cancelled') OR payment_id IS NOT NULL OR is_paid_at_till",
            name=op.f("ck_orders_paid"),
        ),
        sa.CheckConstraint("payment_id IS NULL OR NOT is_paid_at_till", name=op.f("ck_orders_paid_once")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_orders_user_id_users"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_index("ix_orders_id", "orders", ["id"], unique=False, postgresql_where=sa.text("deleted_at IS NULL"))
    op.create_index(
        "ix_orders_id_being_paid", "orders", ["id"], unique=False, postgresql_where=sa.text("is_being_paid")
    )
    op.create_index(
        "ix_orders_id_cancelled",
        "orders",
        ["id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'cancelled'"),
    )
    op.create_index(
        "ix_orders_id_not_cancelled",
        "orders",
        ["id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status <> 'cancelled'"),
    )
    op.create_index(op.f("ix_orders_user_id"), "orders", ["user_id"], unique=False)
    op.create_index(
        "ix_orders_user_id_id",
        "orders",
        ["user_id", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_orders_user_id_id_cancelled",
        "orders",
        ["user_id", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'cancelled'"),
    )
    op.create_index(
        "ix_orders_user_id_id_not_cancelled",
        "orders",
        ["user_id", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status <> 'cancelled'"),
    )
    # lint: allow foreign-key-in-create-table: the revision makes new tables only, so users is locked for an instant
    op.create_table(
        "order_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column(
            "from_status",
            STATUS,
            nullable=True,
        ),
        sa.Column(
            "to_status",
            STATUS,
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("from_status IS DISTINCT FROM to_status", name=op.f("ck_order_events_change")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_events_order_id_orders"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_order_events_user_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_events")),
    )
    op.create_index(op.f("ix_order_events_order_id_id"), "order_events", ["order_id", "id"], unique=False)
    op.create_index(op.f("ix_order_events_user_id"), "order_events", ["user_id"], unique=False)
    op.create_table(
        "order_items",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("size", sa.Enum("small", "medium", "big", name="item_size"), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.CheckConstraint("product <> ''", name=op.f("ck_order_items_product")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_order_items_position")),
        sa.CheckConstraint("quantity BETWEEN 1 AND 1000000", name=op.f("ck_order_items_quantity")),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_items_order_id_orders"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("order_id", "position", name=op.f("pk_order_items")),
    )


def downgrade() -> None:
    op.drop_table("order_items")
    op.drop_table("order_events")
    op.drop_table("orders")
    op.drop_table("idempotency_keys")
    sa.Enum(name="item_size").drop(op.get_bind())
    sa.Enum(name="order_status").drop(op.get_bind())
