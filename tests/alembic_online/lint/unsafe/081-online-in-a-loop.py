"""In a loop there are several of them, too. One revision each."""

from alembic import op

revision = "unsafe_081"
down_revision = None


def upgrade() -> None:
    for column in ("note", "label"):
        op.create_index_online(f"ix_meals_{column}", "meals", [column])  # expect: not-alone
