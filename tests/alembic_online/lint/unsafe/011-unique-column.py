"""unique=True on a new column builds an index, too. Add the column, then use op.add_unique_online in the next
revision."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_011"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("tag", sa.Text(), unique=True))  # expect: blocking-build
