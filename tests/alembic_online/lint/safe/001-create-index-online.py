"""The index is built while reads and writes go on. If the run is killed, the next one drops the half-built index, and
builds it again."""

from alembic import op

revision = "safe_001"
down_revision = None


def upgrade() -> None:
    op.create_index_online("ix_animals_description", "animals", ["description"])
