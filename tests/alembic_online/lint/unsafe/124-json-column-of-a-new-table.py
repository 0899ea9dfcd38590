"""json has no equality, and no index finds anything in it. To change it later rewrites the table."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_124"
down_revision = None


def upgrade() -> None:
    # expect: json-column
    op.create_table("facts", sa.Column("about", sa.Text()), sa.Column("said", sa.JSON()))
