"""In a contract revision, which begins only when no release before 0.4.0 is connected. No row is touched."""

from alembic import op

revision = "safe_037"
down_revision = None
phase = "contract"
safe_from_release = "0.4.0"


def upgrade() -> None:
    op.drop_column("animals", "description")
