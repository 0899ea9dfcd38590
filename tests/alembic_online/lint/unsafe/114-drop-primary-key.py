"""ON CONFLICT needs it, and so does a foreign key that refers to the table. Drop it in a contract revision."""

from alembic import op

revision = "unsafe_114"
down_revision = None


def upgrade() -> None:
    op.drop_constraint("meals_pkey", "meals", type_="primary")  # expect: drop-key
