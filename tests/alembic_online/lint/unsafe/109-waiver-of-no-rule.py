"""There is no rule of that name, so nothing is waived."""

from alembic import op

revision = "unsafe_109"
down_revision = None


def upgrade() -> None:
    # lint: allow index: it is small  # expect: waiver
    op.create_index("ix_animals_description", "animals", ["description"])  # expect: blocking-build
