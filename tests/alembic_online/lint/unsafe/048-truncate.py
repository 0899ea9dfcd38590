"""TRUNCATE waits for everybody, everybody waits for it, and transactions that began before find the table empty. Delete
in batches, or replace the table by a new one."""

from alembic import op

revision = "unsafe_048"
down_revision = None


def upgrade() -> None:
    op.execute("TRUNCATE old_visits")  # expect: truncate
