"""The answers to requests that a client may repeat."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Integer, func
from sqlalchemy.orm import Mapped, mapped_column

from api.models.base import Base


class IdempotencyKey(Base):
    """A request under a key that its user chose. Without a `status` it has no answer yet: a worker works on it
    until `claimed_until`, or has died. `request_hash` is the SHA-256 of what it asks for.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (CheckConstraint("(status IS NULL) = (response IS NULL)", "answer"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[str]
    claimed_until: Mapped[datetime]
    status: Mapped[int | None] = mapped_column(Integer())
    response: Mapped[str | None]
    location: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp(), index=True)
