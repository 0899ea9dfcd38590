"""The value is stored once in the catalog, for all existing rows: NOT NULL, and no row is touched."""

import sqlalchemy as sa
from alembic import op

revision = "safe_022"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("legs", sa.BigInteger(), server_default="4", nullable=False))
