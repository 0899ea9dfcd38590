"""Copying into a new table blocks nobody; but the ALTER before it does, and its lock is held until the copy is done.
Copy in a revision of its own."""

from alembic import op

revision = "unsafe_046"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE meals ADD COLUMN recipe_id bigint")
    op.execute("CREATE TABLE recipes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text)")
    op.execute("INSERT INTO recipes (note) SELECT DISTINCT note FROM meals")  # expect: held-lock
