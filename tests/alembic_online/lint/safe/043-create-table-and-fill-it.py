"""Nobody else uses the rows of a new table yet: it can be filled, and changed, in one go."""

import sqlalchemy as sa
from alembic import op

revision = "safe_043"
down_revision = None


def upgrade() -> None:
    tours = op.create_table(
        "tours",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
    )
    op.bulk_insert(tours, [{"name": "Savanna"}, {"name": "Rainforest"}])
    op.execute("UPDATE tours SET name = name || ' by night'")
