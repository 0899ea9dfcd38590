"""It changes only the rows that it lists."""

from alembic import op

revision = "safe_050"
down_revision = None


def upgrade() -> None:
    op.execute(
        "INSERT INTO meals (id, portions) VALUES (1, 3) ON CONFLICT (id) DO UPDATE SET portions = excluded.portions"
    )
