"""ATTACH looks at every row of the table that is attached, under ACCESS EXCLUSIVE on it. With a check of the bounds,
from op.add_check_online, it believes that instead; then waive this."""

from alembic import op

revision = "unsafe_061"
down_revision = None


def upgrade() -> None:
    # expect: blocking-scan
    op.execute("ALTER TABLE visits ATTACH PARTITION visits_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
