"""As SQL it takes the same lock. Use op.create_index_online, which accepts expressions, too."""

from alembic import op

revision = "unsafe_004"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE INDEX ix_animals_lower_name ON animals (lower(name))")  # expect: blocking-build
