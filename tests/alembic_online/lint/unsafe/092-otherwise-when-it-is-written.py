"""What is done only online, or only with --sql, can't be seen before it runs."""

from alembic import op

revision = "unsafe_092"
down_revision = None


def upgrade() -> None:
    if not op.get_context().as_sql:  # expect: not-sql
        op.execute("TRUNCATE old_visits")
