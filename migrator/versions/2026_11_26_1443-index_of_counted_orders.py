"""index of counted orders

Why: what a visitor has stored is counted by it before more is stored.

Revision: 5e3c0be00b96
Follows: 8139ce9abe4e
Created: 2026-11-26 14:43:00.563066+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "5e3c0be00b96"
down_revision = "8139ce9abe4e"
branch_labels = None
depends_on = None
# "contract" takes away what older releases use, and waits until every api has `safe_from_release` ("0.4.0") or later.
phase = "expand"
safe_from_release = None


def upgrade() -> None:
    op.create_index_online(
        "ix_orders_user_id_counted",
        "orders",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("status <> 'delivered' AND NOT is_emptied"),
    )


def downgrade() -> None:
    op.drop_index_online("ix_orders_user_id_counted", table_name="orders")
