"""What it waived no longer exists. Remove it, or the next finding of that rule is waived unseen."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_110"
down_revision = None


def upgrade() -> None:
    # lint: allow blocking-build: the table is small  # expect: waiver
    op.add_column("animals", sa.Column("wild", sa.Boolean()))
