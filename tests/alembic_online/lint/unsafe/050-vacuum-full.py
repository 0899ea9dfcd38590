"""VACUUM FULL writes the table anew, and nobody reads or writes it meanwhile. A plain VACUUM is in nobody's way;
pg_repack gives the space back online."""

from alembic import op

revision = "unsafe_050"
down_revision = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("VACUUM FULL meals")  # expect: blocking-rewrite
