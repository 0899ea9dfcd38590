"""In a contract revision. The tables that it refers to are locked for an instant, too."""

from alembic import op

revision = "safe_038"
down_revision = None
phase = "contract"
safe_from_release = "0.4.0"


def upgrade() -> None:
    op.drop_table("closures")
