"""What is done only online, or only with --sql, is seen by nobody before it is done."""

from alembic import op

revision = "unsafe_092"
down_revision = None


def upgrade() -> None:
    if not op.get_context().as_sql:  # expect: not-sql
        op.execute("TRUNCATE old_visits")
