"""A new table's foreign key locks the table that it refers to: nobody writes to that until the revision is committed.
Create the table without it, and add it with op.add_foreign_key_online in the next revision."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_016"
down_revision = None


def upgrade() -> None:
    # expect: foreign-key-in-create-table
    op.create_table(
        "favourites",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), primary_key=True),
        sa.Column("animal_id", sa.BigInteger(), sa.ForeignKey("animals.id"), nullable=False),
    )
