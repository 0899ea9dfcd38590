"""REINDEX TABLE blocks writes, and reads that are planned. Use REINDEX TABLE CONCURRENTLY, or, for an invalid index,
`python -m alembic_online repair`."""

from alembic import op

revision = "unsafe_006"
down_revision = None


def upgrade() -> None:
    op.execute("REINDEX TABLE meals")  # expect: blocking-build
