"""Each INSERT ... ON CONFLICT (animal_id, measured_at) of the release at work fails from then on. Drop it in a contract
revision, or build another one on the same columns before."""

from alembic import op

revision = "unsafe_113"
down_revision = None


def upgrade() -> None:
    op.drop_index_online("uq_weights", "weights")  # expect: drop-key
