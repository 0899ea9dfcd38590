"""Photos of the animals; their bytes are in the storage."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Enum, ForeignKey, Identity, Index, Integer, func, text
from sqlalchemy.orm import Mapped, mapped_column

from api.enums.photos import PhotoState
from api.models.base import Base

STATE = Enum(PhotoState, name="photo_state", values_callable=lambda states: [member.value for member in states])
# Literals, because a query with a parameter in its condition can't use a partial index with that condition.
TO_BE_DONE = text("state IN ('processing', 'removed')")
PENDING, FAILED = text("state = 'pending'"), text("state = 'failed'")
UNFINISHED = text("state IN ('pending', 'failed')")


class Photo(Base):
    """A photo of an animal, the first of which has the lowest `position`.

    Nobody can guess the keys of its objects, which are made of `upload` and `name`: who uploads learns only `upload`.
    `content_type` is what the client said, and once the photo is ready, that of its content; `size`, in bytes, is the
    upload's, and `etag` says which bytes were approved. Until `claimed_until`, a worker is at work on it, for the
    `tries`th time; `reason` says why it failed.
    """

    __tablename__ = "photos"
    __table_args__ = (
        CheckConstraint("size > 0", "size"),
        CheckConstraint("state <> 'ready' OR (width > 0 AND height > 0)", "ready"),
        CheckConstraint("(state = 'failed') = (reason IS NOT NULL)", "failed"),
        CheckConstraint("state NOT IN ('processing', 'ready') OR etag IS NOT NULL", "approved"),
        Index(None, "animal_id", "position", "id"),
        Index("ix_photos_id_to_be_done", "id", postgresql_where=TO_BE_DONE),
        Index("ix_photos_created_at_unfinished", "created_at", postgresql_where=UNFINISHED),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    animal_id: Mapped[int] = mapped_column(ForeignKey("animals.id"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    state: Mapped[PhotoState] = mapped_column(STATE, server_default=PhotoState.PENDING.value)
    reason: Mapped[str | None]
    upload: Mapped[str]
    name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int] = mapped_column(Integer())
    etag: Mapped[str | None]
    alt: Mapped[str]
    position: Mapped[int] = mapped_column(Integer())
    width: Mapped[int | None] = mapped_column(Integer())
    height: Mapped[int | None] = mapped_column(Integer())
    claimed_until: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(Integer(), server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp())
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.statement_timestamp(), onupdate=func.statement_timestamp()
    )
