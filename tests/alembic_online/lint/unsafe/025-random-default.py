"""A default that differs for each row, gen_random_uuid(), rewrites the whole table. Add the column without it, set the
default in a second statement, for new rows, and fill the existing ones with op.backfill."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_025"
down_revision = None


def upgrade() -> None:
    # expect: blocking-rewrite
    op.add_column("animals", sa.Column("token", sa.Uuid(), server_default=sa.text("gen_random_uuid()")))
