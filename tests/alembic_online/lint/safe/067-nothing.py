"""A revision that joins two lines of revisions does nothing."""

revision = "safe_067"
down_revision = None


def upgrade() -> None:
    pass
