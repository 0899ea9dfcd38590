"""The value stands once in the catalog, for all rows there are: NOT NULL, and no row is touched."""

import sqlalchemy as sa
from alembic import op

revision = "safe_022"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("legs", sa.BigInteger(), server_default="4", nullable=False))
