"""A rule changes what the statements of the release at work mean. Let the next release write something else instead."""

from alembic import op

revision = "unsafe_059"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE RULE no_deletes AS ON DELETE TO meals DO INSTEAD NOTHING")  # expect: trigger
