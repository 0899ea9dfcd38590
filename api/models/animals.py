"""Animals, each in one exhibit or in none."""

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base, Record
from api.models.search import search_index


class Animal(Record, Base):
    """An animal of the zoo.

    `photo` and `photo_alt` are the `name` and the `alt` of its first photo that is ready: here, too, so that a list of
    animals needs no other table (api/crud/photos/first.py).
    """

    __tablename__ = "animals"
    # Each order of the list, and each filter, has an index that leaves out deleted rows and ends in `id`: a page is one
    # range of it.
    __table_args__ = (
        Index(None, "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "exhibit_id", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "species", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "name", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "created_at", "id", postgresql_where=text("deleted_at IS NULL")),
        Index(None, "updated_at", "id", postgresql_where=text("deleted_at IS NULL")),
        search_index("animals", "name"),
    )

    name: Mapped[str]
    description: Mapped[str | None]
    species: Mapped[str | None]
    exhibit_id: Mapped[int | None] = mapped_column(ForeignKey("exhibits.id"))
    photo: Mapped[str | None]
    photo_alt: Mapped[str | None]
