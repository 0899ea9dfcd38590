"""Users, their access tokens, and the addresses that they signed in from."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Computed, Enum, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from api.enums.users import UserType
from api.models.base import Base


class User(Base):
    """Somebody with an account. Personal data: email. The id is a UUIDv7: in id order, the oldest account is first."""

    __tablename__ = "users"
    __table_args__ = (Index("uq_users_lower_email", text("lower(email)"), unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    hashed_password: Mapped[str]
    type: Mapped[UserType] = mapped_column(
        Enum(UserType, name="user_type", values_callable=lambda types: [member.value for member in types]),
        server_default=UserType.VISITOR.value,
    )
    is_active: Mapped[bool] = mapped_column(server_default="true")
    # fastapi-users' name for an admin. The database computes it from `type`.
    is_superuser: Mapped[bool] = mapped_column(Computed("type = 'admin'", persisted=True))
    is_verified: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp())
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.statement_timestamp(), onupdate=func.statement_timestamp()
    )


class AccessToken(Base):
    """What a signed-in user sends with each request. `token` is its SHA-256, which nobody can sign in with."""

    __tablename__ = "access_tokens"

    token: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp(), index=True)


class KnownAddress(Base):
    """An address that a user signed in from: failures elsewhere do not lock them out there. Personal data: address."""

    __tablename__ = "known_addresses"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    last_used_at: Mapped[datetime] = mapped_column(server_default=func.statement_timestamp(), index=True)
