"""How often autovacuum runs concerns only maintenance, and blocks nobody."""

from alembic import op

revision = "safe_061"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE animals SET (autovacuum_vacuum_scale_factor = 0.01)")
    op.execute("ALTER TABLE animals ALTER species SET STATISTICS 1000")
