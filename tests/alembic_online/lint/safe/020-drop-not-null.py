"""Only the catalogs change. The next release, which writes NULL, is rolled out afterwards."""

import sqlalchemy as sa
from alembic import op

revision = "safe_020"
down_revision = None


def upgrade() -> None:
    op.alter_column("meals", "portions", existing_type=sa.Integer(), nullable=True)
