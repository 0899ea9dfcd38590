"""If there are rows, this fails; if there are none, the release at work, which does not know the column, can't insert
any more. Add it nullable, fill it, and then set it NOT NULL."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_023"
down_revision = None
# fails: contains null values


def upgrade() -> None:
    op.add_column("animals", sa.Column("weight", sa.Numeric(), nullable=False))  # expect: required-column
