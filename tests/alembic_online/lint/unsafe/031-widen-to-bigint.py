"""int and bigint are stored differently: every row is rewritten. Add a second column, op.sync_columns_online,
op.backfill, switch the api over, and drop the old one in a contract revision."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_031"
down_revision = None


def upgrade() -> None:
    # expect: blocking-rewrite
    op.alter_column("meals", "portions", existing_type=sa.Integer(), type_=sa.BigInteger())
