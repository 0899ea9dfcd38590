"""jsonb can be compared and indexed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "safe_076"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("facts", postgresql.JSONB()))
