"""A nullable column is added without touching a row; the release at work does not know it."""

import sqlalchemy as sa
from alembic import op

revision = "safe_021"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("wild", sa.Boolean(), nullable=True))
