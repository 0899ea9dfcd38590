"""orders that need attention

Why: a payment that can't be settled is shown to keepers, with the reason, and the items of orders that were deleted
long ago are removed; for release 0.4.0 of the api.

Revision: 28a0b49ec39d
Follows: 3b8a500f1cd2
Created: 2026-11-26 14:40:57.584996+00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "28a0b49ec39d"
down_revision = "3b8a500f1cd2"
branch_labels = None
depends_on = None
# "contract" takes away what older releases use, and waits until every api has `safe_from_release` ("0.4.0") or later.
phase = "expand"
safe_from_release = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("settle_failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("orders", sa.Column("attention", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("is_emptied", sa.Boolean(), server_default="false", nullable=False))


def downgrade() -> None:
    op.drop_column("orders", "is_emptied")
    op.drop_column("orders", "attention")
    op.drop_column("orders", "settle_failures")
