"""A default that is another for each row, gen_random_uuid(), has the whole table written anew. Add the column
without it, set the default in a second statement, for rows to come, and fill the others with op.backfill."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_025"
down_revision = None


def upgrade() -> None:
    # expect: blocking-rewrite
    op.add_column("animals", sa.Column("token", sa.Uuid(), server_default=sa.text("gen_random_uuid()")))
