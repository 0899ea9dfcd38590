"""Whatever it waits for, nobody waits for it."""

import sqlalchemy as sa
from alembic import op

revision = "safe_074"
down_revision = None


def upgrade() -> None:
    op.execute("SELECT pg_sleep(0.001)")
    op.add_column("animals", sa.Column("wild", sa.Boolean()))
