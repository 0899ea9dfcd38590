"""In another collation, texts have another order: the indexes of the column are built anew while nobody can use the
table. Add a column of the other collation, with its index, and move over."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_125"
down_revision = None


def upgrade() -> None:
    # expect: blocking-build
    op.alter_column("meals", "note", type_=sa.String(50, collation="C"), existing_type=sa.String(50))
