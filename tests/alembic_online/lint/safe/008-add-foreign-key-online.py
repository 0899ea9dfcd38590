"""It applies to new rows at once: both tables are locked for an instant. Then existing rows are checked, while
everybody works."""

from alembic import op

revision = "safe_008"
down_revision = None


def upgrade() -> None:
    op.add_foreign_key_online("fk_meals_animal", "meals", "animals", ["animal_id"], ["id"])
