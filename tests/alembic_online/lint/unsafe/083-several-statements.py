"""asyncpg sends one statement at a time, and refuses this. Call op.execute once for each."""

from alembic import op

revision = "unsafe_083"
down_revision = None
# fails: cannot insert multiple commands into a prepared statement


def upgrade() -> None:
    # expect: several-statements
    op.execute("""
        ALTER TABLE animals ADD COLUMN wild boolean;
        ALTER TABLE animals ADD COLUMN tame boolean;
    """)
