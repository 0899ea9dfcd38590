"""Colons and percent signs in text are what they are: nothing has to be escaped, and nothing is taken for a parameter
that has no value."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "safe_068"
down_revision = None


def upgrade() -> None:
    op.add_column(
        "animals",
        sa.Column(
            "diet", postgresql.JSONB(), server_default=sa.text("""'{"share":50, "of":"100 %"}'"""), comment=":x, 5%"
        ),
    )
    op.execute("ALTER TABLE animals ADD CONSTRAINT named CHECK (name ~ '[[:alpha:]%s]' AND name <> ':x') NOT VALID")
    op.execute(sa.text("COMMENT ON TABLE animals IS 'At :noon'"))
