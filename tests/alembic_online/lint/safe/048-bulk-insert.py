"""A few rows more are in nobody's way."""

import sqlalchemy as sa
from alembic import op

revision = "safe_048"
down_revision = None


def upgrade() -> None:
    exhibits = sa.table("exhibits", sa.column("name", sa.Text()))
    op.bulk_insert(exhibits, [{"name": "Aviary"}, {"name": "Aquarium"}])
