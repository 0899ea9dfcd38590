"""SQL in a DO block is checked like any other SQL, unless it is composed at run time."""

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
