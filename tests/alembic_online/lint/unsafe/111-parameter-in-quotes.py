"""Postgres has no parameters inside quotes, so it is not clear what is meant: the value, or the text with its colon."""

import sqlalchemy as sa
from alembic import op

revision = "unsafe_111"
down_revision = None
# fails: inside quotes


def upgrade() -> None:
    # expect: quoted-parameter
    op.execute(sa.text("COMMENT ON TABLE animals IS 'Seen at :noon'").bindparams(noon="12:00"))
