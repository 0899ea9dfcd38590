"""Its arguments are those of op.create_index: expressions, a condition, another method."""

import sqlalchemy as sa
from alembic import op

revision = "safe_003"
down_revision = None


def upgrade() -> None:
    op.create_index_online(
        "ix_animals_lower_name",
        "animals",
        [sa.text("lower(name)"), "id"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
