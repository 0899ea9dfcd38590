"""clock_timestamp() is volatile, and rewrites the table; now() and statement_timestamp() are not, and take an
instant."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_026"
down_revision = None


def upgrade() -> None:
    # expect: blocking-rewrite
    op.add_column(
        "animals", sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"))
    )
