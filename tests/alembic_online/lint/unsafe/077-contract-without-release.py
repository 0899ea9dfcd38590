"""A contract revision waits until the releases have gone that use what it drops. Which is the first that does not,
it has to say: safe_from_release."""

from alembic import op

revision = "unsafe_077"
down_revision = None
phase = "contract"  # expect: phase


def upgrade() -> None:
    op.drop_column("animals", "description")  # expect: drop-in-expand
