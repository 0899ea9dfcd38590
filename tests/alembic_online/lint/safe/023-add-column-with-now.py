"""now() is the same for the whole statement, so it is stored once, like a constant."""

import sqlalchemy as sa
from alembic import op

revision = "safe_023"
down_revision = None


def upgrade() -> None:
    op.add_column(
        "animals",
        sa.Column("arrived_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
