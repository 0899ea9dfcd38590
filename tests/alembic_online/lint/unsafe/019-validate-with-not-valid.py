"""NOT VALID took ACCESS EXCLUSIVE, which is held until the commit: in the same transaction, VALIDATE checks every row
under it. Use op.add_check_online, which has a transaction for each."""

from alembic import op

revision = "unsafe_019"
down_revision = None


def upgrade() -> None:
    op.execute("ALTER TABLE meals ADD CONSTRAINT ck_meals_price CHECK (price > 0) NOT VALID")
    op.execute("ALTER TABLE meals VALIDATE CONSTRAINT ck_meals_price")  # expect: held-lock
