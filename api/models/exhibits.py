"""Exhibits: the places in the zoo where animals live and staff work."""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped

from api.models.base import Base, Record
from api.models.search import search_index


class Exhibit(Record, Base):
    """A place in the zoo."""

    __tablename__ = "exhibits"
    # Each order of the list, and each filter, has an index that leaves out deleted rows and ends in `id`: a page is one
    # range of it.
    __table_args__ = (
        Index(None, "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "location", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "name", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "created_at", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "updated_at", "id", postgresql_where=text("deleted_at IS NULL")),
        search_index("exhibits", "name"),
    )

    name: Mapped[str]
    description: Mapped[str | None]
    location: Mapped[str | None]
