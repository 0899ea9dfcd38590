"""If the run is killed after the index was built but before the revision was recorded, the next run fails on "already
exists". Use op.create_index_online, or if_not_exists=True."""

from alembic import op

revision = "unsafe_009"
down_revision = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # expect: prefer-robust-stmts
        op.create_index("ix_meals_note", "meals", ["note"], postgresql_concurrently=True)
