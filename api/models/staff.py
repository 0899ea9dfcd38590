"""The people who work at the zoo, each at one exhibit or at none."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base, Record


class Staff(Record, Base):
    """A staff member. Personal data: name, email, phone, notes."""

    __tablename__ = "staff"
    __label__ = "name"
    __sorts__ = ("name",)

    name: Mapped[str]
    job_title: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    notes: Mapped[str | None]
    exhibit_id: Mapped[int | None] = mapped_column(ForeignKey("exhibits.id"))
