"""A serial is a sequence and a volatile default: the table is rewritten. Add a plain bigint with a sequence, and fill
it with op.backfill."""

from alembic import op

revision = "unsafe_029"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE weights ADD COLUMN id bigserial")  # expect: blocking-rewrite
