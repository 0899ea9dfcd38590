"""Users, as the API accepts and returns them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from api.enums.users import UserType
from api.schemas.fields import Email, LimitQuery, RequestBody
from api.schemas.text import normal_form, visible_length

MIN_PASSWORD_LENGTH = 12
MAX_PASSWORD_LENGTH = 128
PASSWORD_RULE = f"{MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters that can be seen, but not the address"
EXAMPLE: dict[str, Any] = {"email": "amara@visitors.example", "password": "a giraffe in the rain"}


def _ascii_mailbox(value: object) -> object:
    if isinstance(value, str) and not value.rpartition("@")[0].isascii():
        raise ValueError("must have only ASCII characters before the @")
    return value


def _can_be_seen(value: str) -> str:
    if visible_length(value) < MIN_PASSWORD_LENGTH:
        raise ValueError(f"must have at least {MIN_PASSWORD_LENGTH} characters that can be seen")
    return value


AccountEmail = Annotated[Email, BeforeValidator(_ascii_mailbox)]
"""An address in ASCII before the @, so that accounts can't differ only in look-alikes, or in unusual forms of case."""

Password = Annotated[
    str,
    StringConstraints(min_length=MIN_PASSWORD_LENGTH, max_length=MAX_PASSWORD_LENGTH),
    AfterValidator(normal_form),
    AfterValidator(_can_be_seen),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "minLength": MIN_PASSWORD_LENGTH,
            "maxLength": MAX_PASSWORD_LENGTH,
            "pattern": r"^[^\x00]*$",
            "writeOnly": True,
        },
        mode="validation",
    ),
]
"""Any 12 to 128 characters that can be seen, but not the address."""


CurrentPassword = Annotated[
    str, WithJsonSchema({"type": "string", "format": "password", "writeOnly": True}, mode="validation")
]
"""The password of an account, to be compared with its hash."""


class UserCreate(RequestBody):
    """A registration, always as a visitor: what else clients of fastapi-users may send has no effect."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    email: AccountEmail
    password: Password
    type: Annotated[UserType, Field(strict=False)] | None = Field(default=None, description="Has no effect.")
    is_active: bool | None = Field(default=None, description="Has no effect.")
    is_superuser: bool | None = Field(default=None, description="Has no effect.")
    is_verified: bool | None = Field(default=None, description="Has no effect.")


class UserUpdate(RequestBody):
    """Changes to your own account. A new address is not verified; a new password revokes all access tokens."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "amara@zoo.example"}]})

    email: AccountEmail | MISSING = MISSING
    password: Password | MISSING = MISSING


class OwnUpdate(UserUpdate):
    """Changes to your own account: they need the current password."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "amara@zoo.example", "current_password": EXAMPLE["password"]}]}
    )

    current_password: CurrentPassword | MISSING = Field(
        default=MISSING, description="Needed for a new address, and for a new password."
    )


class AccountDeletion(RequestBody):
    """The password of the account that is to be deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": EXAMPLE["password"]}]})

    password: CurrentPassword


class UserAdminUpdate(UserUpdate):
    """Changes to an account by an admin. A deactivation, too, revokes all access tokens."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "keeper"}]})

    type: Annotated[UserType, Field(strict=False)] | MISSING = MISSING
    is_active: bool | MISSING = MISSING
    is_verified: bool | MISSING = MISSING


class UserRead(BaseModel):
    """A user."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "019ab9e1-7c00-7000-8000-000000000001",
                    "email": EXAMPLE["email"],
                    "type": "visitor",
                    "is_active": True,
                    "is_superuser": False,
                    "is_verified": False,
                    "created_at": "2026-11-22T09:30:00Z",
                    "updated_at": "2026-11-22T09:30:00Z",
                }
            ]
        },
    )

    id: UUID
    email: str
    type: UserType
    is_active: bool
    is_superuser: bool = Field(description="Whether `type` is admin.")
    is_verified: bool = Field(description="Whether the user has returned a token that was mailed to the address.")
    created_at: datetime
    updated_at: datetime


class UserQuery(LimitQuery):
    """Which users."""

    after: UUID | None = Field(default=None, description="Only users with a larger id, which registered later.")
    email: Annotated[str, AfterValidator(normal_form)] | None = Field(
        default=None, max_length=254, description="Only the user with this address; case is ignored."
    )
