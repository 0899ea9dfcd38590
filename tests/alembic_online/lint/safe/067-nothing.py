"""A revision that merges two branches does nothing."""

revision = "safe_067"
down_revision = None


def upgrade() -> None:
    pass
