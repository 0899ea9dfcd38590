"""The release at work still needs its rights. Revoke them in a contract revision."""

from alembic import op

revision = "unsafe_102"
down_revision = None


def upgrade() -> None:
    op.execute("REVOKE DELETE ON animals FROM zoo_api")  # expect: rights
