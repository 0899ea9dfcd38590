"""What the routes of /auth accept and return."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.fields import RequestBody
from api.schemas.users import EXAMPLE as USER
from api.schemas.users import AccountEmail, Password

MAX_TOKEN_LENGTH = 2_000
TOKEN = Field(min_length=1, max_length=MAX_TOKEN_LENGTH, description="The token from the mail.")


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Credentials(BaseModel):
    """The form of OAuth 2.0's password grant (RFC 6749, section 4.3.2)."""

    model_config = _example(grant_type="password", username=USER["email"], password=USER["password"])

    grant_type: Literal["password"] | None = None
    username: str = Field(description="The email address.")
    password: str = Field(json_schema_extra={"format": "password"})
    scope: str | None = Field(default=None, description="Has no effect; nor do the next two.")
    client_id: str | None = None
    client_secret: str | None = None


class BearerToken(BaseModel):
    """What to send with each request: `Authorization: Bearer <access_token>`."""

    model_config = _example(access_token="pZ2iTmWVnSAZrSqGDWmrnaTn2Wqk6yEvbrJuNWkBYYo", token_type="bearer")

    access_token: str
    token_type: Literal["bearer"] = "bearer"


class MailRequest(RequestBody):
    """The account that needs a token."""

    model_config = _example(email=USER["email"])

    email: AccountEmail


class PasswordReset(RequestBody):
    """A new password, and the token that permits setting it."""

    model_config = _example(token="eyJhbGciOi...", password=USER["password"])

    token: str = TOKEN
    password: Password


class Verification(RequestBody):
    """The token that shows that the address is the user's."""

    model_config = _example(token="eyJhbGciOi...")

    token: str = TOKEN
