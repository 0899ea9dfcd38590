"""In a contract revision: no release writes the old column any more, so nothing has to be kept equal."""

from alembic import op

revision = "safe_036"
down_revision = None
phase = "contract"
safe_from_release = "0.4.0"


def upgrade() -> None:
    op.unsync_columns_online("animals", "species", "scientific_name")
