"""In a contract revision: the release that needed the right has gone."""

from alembic import op

revision = "safe_040"
down_revision = None
phase = "contract"
safe_from_release = "0.4.0"


def upgrade() -> None:
    op.execute("REVOKE DELETE ON animals FROM zoo_api")
