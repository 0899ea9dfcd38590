"""index of orders that need attention

Why: keepers find by it the orders that the api can't settle.

Revision: 8139ce9abe4e
Follows: eb35fb5e5c67
Created: 2026-11-26 14:42:59.662175+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "8139ce9abe4e"
down_revision = "eb35fb5e5c67"
branch_labels = None
depends_on = None
# "contract" takes away what older releases use, and waits until every api has `safe_from_release` ("0.4.0") or later.
phase = "expand"
safe_from_release = None


def upgrade() -> None:
    op.create_index_online(
        "ix_orders_id_needs_attention",
        "orders",
        ["id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND attention IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index_online("ix_orders_id_needs_attention", table_name="orders")
