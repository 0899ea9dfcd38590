"""SQL that is composed at run time can't be checked before. Write the statements themselves."""

from alembic import op

revision = "unsafe_093"
down_revision = None


def upgrade() -> None:
    # expect: opaque
    op.execute("DO $$ BEGIN EXECUTE 'ALTER TABLE animals ADD COLUMN ' || 'wild boolean'; END $$")
