"""An enum that is created in the revision may get values there and, from Postgres 17 on, use them."""

from alembic import op

revision = "safe_046"
down_revision = None
# since: 17


def upgrade() -> None:
    op.execute("CREATE TYPE mood AS ENUM ('calm')")
    op.execute("ALTER TYPE mood ADD VALUE 'playful'")
    op.execute("CREATE TABLE moods (animal_id bigint NOT NULL, mood mood NOT NULL DEFAULT 'playful')")
