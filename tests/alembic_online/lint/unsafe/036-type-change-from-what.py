"""The old type is not given, so the worst is assumed. Give existing_type: from varchar(50) to varchar(100) no row is
touched."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_036"
down_revision = None


def upgrade() -> None:
    op.alter_column("meals", "note", type_=sa.String(100))  # expect: blocking-rewrite
