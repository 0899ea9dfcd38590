"""What is in a DO block is looked at like any other SQL, as long as it is not put together when it runs."""

from alembic import op

revision = "safe_065"
down_revision = None


def upgrade() -> None:
    op.execute("""
        DO $$ BEGIN
            IF to_regrole('zoo_api') IS NOT NULL THEN
                GRANT SELECT ON species_counts TO zoo_api;
            END IF;
        END $$
    """)
