"""autocommit_block commits what comes before it: if the index fails, the column stays, and the next run fails on it."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_082"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("wild", sa.Boolean()))
    with op.get_context().autocommit_block():
        # expect: not-alone
        op.create_index("ix_animals_wild", "animals", ["wild"], postgresql_concurrently=True, if_not_exists=True)
