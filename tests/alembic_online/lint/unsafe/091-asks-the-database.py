"""What the revision does depends on what is in the database: no plan shows it, and --sql can't write it. Use
op.backfill, or one statement that is right for all."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_091"
down_revision = None


def upgrade() -> None:
    # expect: not-sql
    for (animal,) in op.get_bind().execute(sa.text("SELECT id FROM animals WHERE species IS NULL")):
        op.execute(f"UPDATE animals SET species = 'unknown' WHERE id = {animal}")
