"""How often something was tried recently."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base


class Throttle(Base):
    """A count since a point in time. `key` is the SHA-256 of what is counted: that may be personal data, or secret."""

    __tablename__ = "throttles"

    key: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    since: Mapped[datetime] = mapped_column(index=True)
