"""What the trigger did for the release at work is no longer done. Drop it in a contract revision."""

from alembic import op

revision = "unsafe_060"
down_revision = None


def upgrade() -> None:
    op.execute("DROP TRIGGER touch ON staff")  # expect: drop-in-expand
