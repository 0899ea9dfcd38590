"""The people who work at the zoo, each at one exhibit or at none."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base, Record
from api.models.search import search_index


class Staff(Record, Base):
    """A member of staff. Personal data: name, email, phone, notes."""

    __tablename__ = "staff"
    # Each order of the list, and each filter, has an index that leaves out deleted rows and ends in `id`: a page is one
    # range of it.
    __table_args__ = (
        Index(None, "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "exhibit_id", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "name", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "created_at", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "updated_at", "id", postgresql_where=text("deleted_at IS NULL")),
        search_index("staff", "name"),
    )

    name: Mapped[str]
    job_title: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    notes: Mapped[str | None]
    exhibit_id: Mapped[int | None] = mapped_column(ForeignKey("exhibits.id"))
