"""It is not known whether a function that is not Postgres's own is volatile. Add the column without the default, and
set that in a second statement."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_027"
down_revision = None


def upgrade() -> None:
    # expect: blocking-rewrite
    op.add_column("animals", sa.Column("greeting", sa.Text(), server_default=sa.text("greet('hello')")))
