"""What an identity column would do under a lock: a sequence, a column, a default for new rows. op.backfill numbers the
existing ones."""

import sqlalchemy as sa
from alembic import op

revision = "safe_026"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE SEQUENCE weights_id_seq")
    op.add_column("weights", sa.Column("id", sa.BigInteger(), nullable=True))
    op.alter_column("weights", "id", server_default=sa.text("nextval('weights_id_seq')"))
