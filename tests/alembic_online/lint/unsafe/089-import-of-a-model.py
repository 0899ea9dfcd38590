"""The model will have changed in a year, and this revision would then do something else. Repeat here what it needs,
with sa.table(...)."""

import sqlalchemy as sa
from alembic import op

from api.models.animals import Animal  # expect: app-import

revision = "unsafe_089"
down_revision = None


def upgrade() -> None:
    op.add_column("animals", sa.Column("kind", Animal.__table__.c.species.type))
