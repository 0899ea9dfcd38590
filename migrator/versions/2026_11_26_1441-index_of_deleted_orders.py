"""index of deleted orders

Why: the api finds by it the orders whose items are to be removed.

Revision: eb35fb5e5c67
Follows: 28a0b49ec39d
Created: 2026-11-26 14:41:58.478526+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "eb35fb5e5c67"
down_revision = "28a0b49ec39d"
branch_labels = None
depends_on = None
# "contract" takes away what older releases use, and waits until every api has `safe_from_release` ("0.4.0") or later.
phase = "expand"
safe_from_release = None


def upgrade() -> None:
    op.create_index_online(
        "ix_orders_deleted_at",
        "orders",
        ["deleted_at"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NOT NULL AND NOT is_emptied"),
    )


def downgrade() -> None:
    op.drop_index_online("ix_orders_deleted_at", table_name="orders")
