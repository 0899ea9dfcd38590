"""From then on the release at work sees no rows, or not all. Switch it on in a contract revision, once the api sets who
asks."""

from alembic import op

revision = "unsafe_103"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE POLICY own ON animals USING (exhibit_id = 1)")  # expect: rights
    op.execute("ALTER TABLE animals ENABLE ROW LEVEL SECURITY")  # expect: rights
