"""Writes wait for it, and from then on all of them do something else, those of the release at work, too. To keep two
columns equal there is op.sync_columns_online; else write it alone, and say in a waiver why it is harmless."""

from alembic import op

revision = "unsafe_057"
down_revision = None


def upgrade() -> None:
    # expect: trigger
    op.execute("CREATE TRIGGER touch BEFORE UPDATE ON animals FOR EACH ROW EXECUTE FUNCTION touch()")
