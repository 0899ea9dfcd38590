"""From varchar(50) to varchar(100) no row is touched; existing_type says which type it was."""

import sqlalchemy as sa
from alembic import op

revision = "safe_030"
down_revision = None


def upgrade() -> None:
    op.alter_column("meals", "note", existing_type=sa.String(50), type_=sa.String(100))
