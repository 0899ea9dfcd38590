"""A waiver says why: a reader in a year knows nothing else."""

from alembic import op

revision = "unsafe_108"
down_revision = None


def upgrade() -> None:
    # lint: allow blocking-build  # expect: waiver
    op.create_index("ix_animals_description", "animals", ["description"])  # expect: blocking-build
