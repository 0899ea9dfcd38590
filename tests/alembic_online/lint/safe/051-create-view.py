"""A view reads nothing until somebody reads it."""

from alembic import op

revision = "safe_051"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE VIEW hungry AS SELECT name, portions FROM animals JOIN meals ON animal_id = animals.id")
