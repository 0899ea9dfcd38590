"""Unless the session's time zone is UTC, the table is rewritten; and with USING in any case."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_035"
down_revision = None


def upgrade() -> None:
    # expect: blocking-rewrite
    op.alter_column(
        "meals",
        "served_at",
        existing_type=sa.DateTime(),
        type_=sa.DateTime(timezone=True),
        postgresql_using="served_at AT TIME ZONE 'Europe/Berlin'",
    )
