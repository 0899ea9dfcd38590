"""An enum that is created in the revision may get values there, and use them."""

from alembic import op

revision = "safe_046"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TYPE mood AS ENUM ('calm')")
    op.execute("ALTER TYPE mood ADD VALUE 'playful'")
    op.execute("CREATE TABLE moods (animal_id bigint NOT NULL, mood mood NOT NULL DEFAULT 'playful')")
