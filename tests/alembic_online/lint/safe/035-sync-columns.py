"""Whichever column a release writes, the other one gets the same value: half of a rename that nobody notices."""

from alembic import op

revision = "safe_035"
down_revision = None
# needs: ALTER TABLE animals ADD COLUMN scientific_name text


def upgrade() -> None:
    op.sync_columns_online("animals", "species", "scientific_name")
