"""A stored generated column is computed for every row at once. From Postgres 18 on use persisted=False; in earlier
versions, a plain column that the api writes, and op.backfill."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_030"
down_revision = None


def upgrade() -> None:
    # expect: blocking-rewrite
    op.add_column("animals", sa.Column("slug", sa.Text(), sa.Computed("lower(name)", persisted=True)))
