"""VACUUM is refused in the revision's transaction. Put it into op.get_context().autocommit_block(), alone in its
revision."""

from alembic import op

revision = "unsafe_051"
down_revision = None
# fails: cannot run inside a transaction block


def upgrade() -> None:
    op.execute("VACUUM meals")  # expect: needs-autocommit
