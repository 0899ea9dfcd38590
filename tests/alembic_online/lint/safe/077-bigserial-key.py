"""SQLAlchemy's default for a key of 64 bits is a bigserial. Roles that insert need a right on its sequence; it can be
made an identity later, in an instant."""

import sqlalchemy as sa
from alembic import op

revision = "safe_077"
down_revision = None


def upgrade() -> None:
    op.create_table("tours", sa.Column("id", sa.BigInteger(), primary_key=True), sa.Column("name", sa.Text()))
