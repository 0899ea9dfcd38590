"""The constraint builds its index under ACCESS EXCLUSIVE: not even reads go on. Use op.add_unique_online, which
takes an index that was built before."""

from alembic import op

revision = "unsafe_010"
down_revision = None


def upgrade() -> None:
    op.create_unique_constraint("uq_meals_note", "meals", ["note"])  # expect: blocking-build
