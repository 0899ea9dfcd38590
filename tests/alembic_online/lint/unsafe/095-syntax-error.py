"""Postgres can't read it. The lint finds that, so that it is not found at three in the morning."""

from alembic import op

revision = "unsafe_095"
down_revision = None
# fails: syntax error


def upgrade() -> None:
    op.execute("ALTER TABLE animals ADD wild boolean NUL")  # expect: syntax-error
