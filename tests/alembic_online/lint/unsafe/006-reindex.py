"""REINDEX TABLE locks writes out, and reads that are planned. Use REINDEX TABLE CONCURRENTLY, or, for an index that
is invalid, `python -m alembic_online repair`."""

from alembic import op

revision = "unsafe_006"
down_revision = None


def upgrade() -> None:
    op.execute("REINDEX TABLE meals")  # expect: blocking-build
