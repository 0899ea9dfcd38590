"""The first half of op.add_foreign_key_online, by hand. The second half, VALIDATE, belongs in the next revision."""

from alembic import op

revision = "safe_009"
down_revision = None


def upgrade() -> None:
    op.create_foreign_key("fk_meals_animal", "meals", "animals", ["animal_id"], ["id"], postgresql_not_valid=True)
