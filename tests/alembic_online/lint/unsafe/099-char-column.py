"""char(n) pads with spaces, and compares as if they were not there. Use sa.Text()."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_099"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("code", sa.CHAR(8)))  # expect: ban-char-field
