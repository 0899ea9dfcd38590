"""VACUUM FULL rewrites the table, and nobody reads or writes it meanwhile. A plain VACUUM blocks nobody; pg_repack
frees the space online."""

from alembic import op

revision = "unsafe_050"
down_revision = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("VACUUM FULL meals")  # expect: blocking-rewrite
