"""More rights do not harm the release at work."""

from alembic import op

revision = "safe_064"
down_revision = None


def upgrade() -> None:
    op.execute("GRANT SELECT ON species_counts TO zoo_api")
