"""The two are stored alike."""

import sqlalchemy as sa
from alembic import op

revision = "safe_031"
down_revision = None


def upgrade() -> None:
    op.alter_column("meals", "note", existing_type=sa.String(50), type_=sa.Text())
