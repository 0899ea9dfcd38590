"""It is new, so nobody calls it yet."""

from alembic import op

revision = "safe_055"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)'")
