"""SQLAlchemy's default for an integer key is a serial, whose sequence has rights of its own, and whose numbers run out.
Use sa.BigInteger() with sa.Identity(always=True)."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_097"
down_revision = None


def upgrade() -> None:
    # expect: small-key
    op.create_table("tours", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.Text()))
