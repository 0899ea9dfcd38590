"""A default that is set after the column was added applies to new rows only. Existing rows are filled by op.backfill,
in the next revision."""

import sqlalchemy as sa
from alembic import op

revision = "safe_025"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("token", sa.Uuid(), nullable=True))
    op.alter_column("animals", "token", server_default=sa.text("gen_random_uuid()"))
