"""ATTACH checks every row of the attached table, under ACCESS EXCLUSIVE on it, unless a check of the bounds, from
op.add_check_online, proves them; then waive this."""

from alembic import op

revision = "unsafe_061"
down_revision = None


def upgrade() -> None:
    # expect: blocking-scan
    op.execute("ALTER TABLE visits ATTACH PARTITION visits_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
