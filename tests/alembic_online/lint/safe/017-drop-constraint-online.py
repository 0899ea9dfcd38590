"""Like op.drop_constraint, but repeatable."""

from alembic import op

revision = "safe_017"
down_revision = None
# needs: ALTER TABLE meals ADD CONSTRAINT fk_meals_animal FOREIGN KEY (animal_id) REFERENCES animals NOT VALID


def upgrade() -> None:
    op.drop_constraint_online("fk_meals_animal", "meals")
