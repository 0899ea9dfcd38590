"""total is required, and there is a note"""

import sqlalchemy as sa
from alembic import op
from shop.models import Invoice

revision = "0003"
down_revision = "0002"


def upgrade():
    op.add_column("invoices", sa.Column("note", sa.String(100)))
    op.execute(sa.update(Invoice).values(total=0).where(Invoice.total.is_(None)))
    op.alter_column("invoices", "total", nullable=False)


def downgrade():
    op.alter_column("invoices", "total", nullable=True)
    op.drop_column("invoices", "note")
