"""SET LOCAL ends with the revision's transaction."""

from alembic import op

revision = "safe_062"
down_revision = None


def upgrade() -> None:
    op.execute("SET LOCAL work_mem = '64MB'")
    op.execute("CREATE TABLE counts AS SELECT species, count(*) AS animals FROM animals GROUP BY species")
