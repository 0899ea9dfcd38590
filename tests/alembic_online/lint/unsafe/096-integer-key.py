"""A key of 32 bits runs out at 2,147,483,647, and changing it from int to bigint takes long (widen-to-bigint). Use
sa.BigInteger()."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_096"
down_revision = None


def upgrade() -> None:
    # expect: small-key
    op.create_table(
        "tours",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
    )
