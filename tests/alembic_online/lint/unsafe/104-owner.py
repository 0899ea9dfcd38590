"""The migrator can't change what it does not own, and the new owner's rights differ from the old one's."""

from alembic import op

revision = "unsafe_104"
down_revision = None
# fails: must be (able to SET ROLE|member of role)


def upgrade() -> None:
    op.execute("ALTER TABLE meals OWNER TO zoo_api")  # expect: rights
