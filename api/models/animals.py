"""Animals, each in one exhibit or in none."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base, Record


class Animal(Record, Base):
    """An animal of the zoo.

    `photo` and `photo_alt` are the `name` and the `alt` of its first photo that is ready: here, too, so that a list of
    animals needs no other table (api/crud/photos/first.py).
    """

    __tablename__ = "animals"
    __label__ = "name"
    __filters__ = ("species", "name")
    __sorts__ = ("name",)

    name: Mapped[str]
    description: Mapped[str | None]
    species: Mapped[str | None]
    exhibit_id: Mapped[int | None] = mapped_column(ForeignKey("exhibits.id"))
    photo: Mapped[str | None]
    photo_alt: Mapped[str | None]
