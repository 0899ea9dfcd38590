"""The table is copied, file by file, and nobody reads or writes it meanwhile. Create a new table, fill it, and switch
the api over."""

from alembic import op

revision = "unsafe_054"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE meals SET TABLESPACE pg_default")  # expect: blocking-rewrite
