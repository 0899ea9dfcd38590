"""What comes before an online operation is committed with it. If the build fails, the next run fails on "column already
exists". One revision each."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_079"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("wild", sa.Boolean()))
    op.create_index_online("ix_animals_wild", "animals", ["wild"])  # expect: not-alone
