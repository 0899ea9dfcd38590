"""Written with SQLAlchemy it is the same UPDATE. Use op.backfill."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_040"
down_revision = None


def upgrade() -> None:
    animals = sa.table("animals", sa.column("id"), sa.column("name"), sa.column("description"))
    op.execute(animals.update().values(description=animals.c.name))  # expect: unbatched-change
