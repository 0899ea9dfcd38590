"""Only as many rows as VALUES lists, wherever their values come from."""

from alembic import op

revision = "safe_049"
down_revision = None


def upgrade() -> None:
    op.execute("INSERT INTO staff (name, exhibit_id) VALUES ('Yuki', (SELECT id FROM exhibits WHERE name = 'Savanna'))")
