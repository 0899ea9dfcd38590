"""Postgres truncates a name after 63 bytes; two that differ only after that are the same."""

from alembic import op

revision = "unsafe_100"
down_revision = None


def upgrade() -> None:
    # expect: identifier-too-long
    op.execute(
        "ALTER TABLE animals ADD COLUMN the_name_that_the_keepers_of_the_animal_call_it_by_when_it_is_hungry text"
    )
