"""For a shorter varchar every row is checked and rewritten. Use op.add_check_online for the length."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_032"
down_revision = None


def upgrade() -> None:
    # expect: blocking-rewrite
    op.alter_column("meals", "note", existing_type=sa.String(50), type_=sa.String(20))
