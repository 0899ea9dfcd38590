"""How often autovacuum comes is a matter of upkeep, which nobody waits for."""

from alembic import op

revision = "safe_061"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE animals SET (autovacuum_vacuum_scale_factor = 0.01)")
    op.execute("ALTER TABLE animals ALTER species SET STATISTICS 1000")
