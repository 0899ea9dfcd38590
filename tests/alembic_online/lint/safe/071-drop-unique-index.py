"""Once no release that relies on it is connected, a unique index may go."""

from alembic import op

revision = "safe_071"
down_revision = None
phase = "contract"
safe_from_release = "0.4.0"


def upgrade() -> None:
    op.drop_index_online("uq_weights", "weights")
