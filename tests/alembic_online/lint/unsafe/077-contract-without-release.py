"""A contract revision waits until the releases that use what it drops are gone. It has to name the first release that
does not: safe_from_release."""

from alembic import op

revision = "unsafe_077"
down_revision = None
phase = "contract"  # expect: phase


def upgrade() -> None:
    op.drop_column("animals", "description")  # expect: drop-in-expand
