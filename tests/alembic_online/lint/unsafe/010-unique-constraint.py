"""The constraint builds its index under ACCESS EXCLUSIVE: even reads wait. Use op.add_unique_online, which builds the
index first, and then uses it."""

from alembic import op

revision = "unsafe_010"
down_revision = None


def upgrade() -> None:
    op.create_unique_constraint("uq_meals_note", "meals", ["note"])  # expect: blocking-build
