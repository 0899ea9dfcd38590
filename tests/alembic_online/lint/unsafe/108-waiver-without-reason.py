"""A waiver says why: whoever reads it in a year knows no more than that."""

from alembic import op

revision = "unsafe_108"
down_revision = None


def upgrade() -> None:
    # lint: allow blocking-build  # expect: waiver
    op.create_index("ix_animals_description", "animals", ["description"])  # expect: blocking-build
