"""SET without LOCAL stays for later revisions, which then look for their tables elsewhere."""

from alembic import op

revision = "unsafe_086"
down_revision = None


def upgrade() -> None:
    op.execute("SET search_path = public, pg_temp")  # expect: settings
