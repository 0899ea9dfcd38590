"""emptied orders are deleted

Why: only the items of deleted orders may be removed.

Revision: d5259858e32b
Follows: 5e3c0be00b96
Created: 2026-11-26 14:44:01.283870+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "d5259858e32b"
down_revision = "5e3c0be00b96"
branch_labels = None
depends_on = None
# "contract" takes away what older releases use, and waits until every api has `safe_from_release` ("0.4.0") or later.
phase = "expand"
safe_from_release = None


def upgrade() -> None:
    op.add_check_online(op.f("ck_orders_emptied"), "orders", "NOT is_emptied OR deleted_at IS NOT NULL")


def downgrade() -> None:
    op.drop_constraint_online(op.f("ck_orders_emptied"), "orders")
