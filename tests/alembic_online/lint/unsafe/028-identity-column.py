"""Each existing row gets a number of its own, so the table is rewritten. Add a plain bigint with a sequence, and fill
it with op.backfill."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_028"
down_revision = None


def upgrade() -> None:
    op.add_column("weights", sa.Column("id", sa.BigInteger(), sa.Identity(always=True)))  # expect: blocking-rewrite
