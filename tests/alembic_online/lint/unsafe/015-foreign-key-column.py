"""sa.ForeignKey in op.add_column adds the constraint in a second statement, which takes its locks and checks every row.
Add the column without it, then use op.add_foreign_key_online in a revision of its own."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_015"
down_revision = None


def upgrade() -> None:
    # expect: blocking-scan
    op.add_column(
        "animals", sa.Column("keeper_id", sa.BigInteger(), sa.ForeignKey("staff.id", name="fk_animals_keeper"))
    )
