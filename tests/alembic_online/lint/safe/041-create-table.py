"""A new table blocks nobody, with all that belongs to it: whatever is done to it in the same revision is free."""

import sqlalchemy as sa
from alembic import op

revision = "safe_041"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tours",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.CheckConstraint("name <> ''", name="ck_tours_name"),
    )
    op.create_index("ix_tours_name", "tours", ["name"])
    op.create_unique_constraint("uq_tours_name", "tours", ["name"])
    op.alter_column("tours", "name", type_=sa.String(100))
