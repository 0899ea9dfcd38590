"""Nobody writes to it yet, so nobody waits."""

import sqlalchemy as sa
from alembic import op

revision = "safe_045"
down_revision = None


def upgrade() -> None:
    op.create_table("tours", sa.Column("updated_at", sa.DateTime(timezone=True)))
    op.execute("CREATE TRIGGER touch BEFORE UPDATE ON tours FOR EACH ROW EXECUTE FUNCTION touch()")
