"""json has no equality, and no index finds anything in it. Use postgresql.JSONB()."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_123"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("facts", sa.JSON()))  # expect: json-column
