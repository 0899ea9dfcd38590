"""Whoever needs the table waits for as long as this sleeps. Leave it out."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_119"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("wild", sa.Boolean()))
    op.execute("SELECT pg_sleep(0.01)")  # expect: wait-under-lock
