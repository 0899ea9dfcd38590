"""An import within a function is an import, too."""

from alembic import op

revision = "unsafe_090"
down_revision = None


def upgrade() -> None:
    from api.models import Base  # noqa: PLC0415  # expect: app-import

    op.execute(f"COMMENT ON TABLE animals IS '{len(Base.metadata.tables)} tables'")
