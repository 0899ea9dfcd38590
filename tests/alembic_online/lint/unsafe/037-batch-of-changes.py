"""On Postgres a batch is only its statements, one after the other, with their locks. Findings have the line where the
batch ends, which is its first line."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_037"
down_revision = None


def upgrade() -> None:
    with op.batch_alter_table("meals") as batch:  # expect: blocking-rewrite, blocking-scan
        batch.alter_column("portions", existing_type=sa.Integer(), type_=sa.BigInteger())
        batch.create_check_constraint("ck_meals_price", "price > 0")
