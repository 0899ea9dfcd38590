"""Foreign keys between two new tables block nobody."""

import sqlalchemy as sa
from alembic import op

revision = "safe_042"
down_revision = None


def upgrade() -> None:
    op.create_table("tours", sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True))
    op.create_table(
        "stops",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("tour_id", sa.BigInteger(), sa.ForeignKey("tours.id"), nullable=False),
    )
