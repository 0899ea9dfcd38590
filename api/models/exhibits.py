"""Exhibits: the places in the zoo where animals live and staff work."""

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped

from api.models.base import Base, Record


class Exhibit(Record, Base):
    """A place in the zoo."""

    __tablename__ = "exhibits"
    # Each filter of the list has an index that ends in `id`: a page is one range of it, at any depth.
    __table_args__ = (Index(None, "location", "id", postgresql_where=text("deleted_at IS NULL")),)

    name: Mapped[str]
    description: Mapped[str | None]
    location: Mapped[str | None]
