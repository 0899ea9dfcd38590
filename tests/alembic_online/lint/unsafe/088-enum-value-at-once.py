"""A new value can't be used in the transaction that adds it. Use it in the next revision."""

from alembic import op

revision = "unsafe_088"
down_revision = None
# fails: unsafe use of new value


def upgrade() -> None:
    op.execute("ALTER TYPE diet ADD VALUE 'fish'")
    op.execute("INSERT INTO meals (diet, portions) VALUES ('fish', 1)")  # expect: enum-value-used
