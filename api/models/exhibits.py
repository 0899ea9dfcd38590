"""Exhibits: the places in the zoo where animals live."""

from sqlalchemy.orm import Mapped

from api.models.base import Base, Record


class Exhibit(Record, Base):
    """A place in the zoo."""

    __tablename__ = "exhibits"
    __label__ = "name"
    __filters__ = ("location",)
    __sorts__ = ("name",)

    name: Mapped[str]
    description: Mapped[str | None]
    location: Mapped[str | None]
