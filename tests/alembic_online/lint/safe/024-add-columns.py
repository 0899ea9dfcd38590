"""Several columns of a table need one lock, and one revision."""

import sqlalchemy as sa
from alembic import op

revision = "safe_024"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("wild", sa.Boolean()))
    op.add_column("animals", sa.Column("nickname", sa.Text()))
