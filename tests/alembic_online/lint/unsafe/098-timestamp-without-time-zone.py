"""Which moment it means depends on the session that reads it; and changing it later rewrites the table. Use
timezone=True."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_098"
down_revision = None


def upgrade() -> None:
    # expect: prefer-timestamp-tz
    op.create_table(
        "tours",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("begins_at", sa.DateTime()),
    )
