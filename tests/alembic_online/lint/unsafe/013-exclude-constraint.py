"""EXCLUDE builds its index under ACCESS EXCLUSIVE, and Postgres has no other way. Create a new table that has it, and
fill that."""

from alembic import op

revision = "unsafe_013"
down_revision = None


def upgrade() -> None:
    # expect: blocking-build
    op.create_exclude_constraint("ex_closures", "closures", ("during", "&&"), using="gist")
