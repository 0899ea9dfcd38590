"""set_config does what SET does."""

from alembic import op

revision = "unsafe_087"
down_revision = None


def upgrade() -> None:
    op.execute("SELECT set_config('statement_timeout', '0', false)")  # expect: settings
