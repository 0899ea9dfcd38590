"""There are two phases, expand and contract."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_078"
down_revision = None
phase = "cleanup"  # expect: phase


def upgrade() -> None:
    op.add_column("animals", sa.Column("wild", sa.Boolean()))
