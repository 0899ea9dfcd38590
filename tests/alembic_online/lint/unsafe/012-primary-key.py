"""A primary key builds its index under ACCESS EXCLUSIVE. Build a unique index with op.create_index_online, then use it:
ADD PRIMARY KEY USING INDEX."""

from alembic import op

revision = "unsafe_012"
down_revision = None


def upgrade() -> None:
    op.create_primary_key("pk_weights", "weights", ["animal_id", "measured_at"])  # expect: blocking-build
