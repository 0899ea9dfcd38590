"""A sequence that is set back gives the same numbers again. Set it forwards only."""

from alembic import op

revision = "unsafe_117"
down_revision = None


def upgrade() -> None:
    op.execute("SELECT setval('tickets', 1)")  # expect: set-sequence
