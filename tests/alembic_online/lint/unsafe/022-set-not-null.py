"""Reads and writes wait while Postgres looks for NULLs. Use op.set_not_null_online."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_022"
down_revision = None


def upgrade() -> None:
    op.alter_column("animals", "name", existing_type=sa.Text(), nullable=False)  # expect: blocking-scan
