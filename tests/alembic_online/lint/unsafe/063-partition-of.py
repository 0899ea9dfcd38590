"""CREATE TABLE ... PARTITION OF takes ACCESS EXCLUSIVE on the partitioned table. Create the table by itself, and attach
it."""

from alembic import op

revision = "unsafe_063"
down_revision = None


def upgrade() -> None:
    # expect: partition-of
    op.execute("CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
