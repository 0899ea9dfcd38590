"""A few new rows block nobody."""

import sqlalchemy as sa
from alembic import op

revision = "safe_048"
down_revision = None


def upgrade() -> None:
    exhibits = sa.table("exhibits", sa.column("name", sa.Text()))
    op.bulk_insert(exhibits, [{"name": "Aviary"}, {"name": "Aquarium"}])
