"""Writes to both tables wait while every row is checked. Use op.add_foreign_key_online, which adds it NOT VALID, and
validates it afterwards."""

from alembic import op

revision = "unsafe_014"
down_revision = None


def upgrade() -> None:
    op.create_foreign_key("fk_meals_animal", "meals", "animals", ["animal_id"], ["id"])  # expect: blocking-scan
