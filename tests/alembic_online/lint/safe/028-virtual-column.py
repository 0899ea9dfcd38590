"""From Postgres 18 on: computed when it is read, so nothing is written."""

import sqlalchemy as sa
from alembic import op

revision = "safe_028"
down_revision = None
# since: 18


def upgrade() -> None:
    op.add_column("animals", sa.Column("name_length", sa.BigInteger(), sa.Computed("length(name)", persisted=False)))
