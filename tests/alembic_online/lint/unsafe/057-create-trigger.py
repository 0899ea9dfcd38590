"""Writes wait for it, and from then on they do something else, also those of the release at work. To keep two columns
equal, use op.sync_columns_online; otherwise write it alone, and say in a waiver why it is harmless."""

from alembic import op

revision = "unsafe_057"
down_revision = None


def upgrade() -> None:
    # expect: trigger
    op.execute("CREATE TRIGGER touch BEFORE UPDATE ON animals FOR EACH ROW EXECUTE FUNCTION touch()")
