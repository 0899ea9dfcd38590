"""What can go wrong, as the client sees it: `{"detail": ...}` with a status, whatever raised it.

Exception
├── ZooError                        500
│   ├── BadRequest                  400  wrong credentials, an invalid token, an address that has an account
│   ├── Unauthenticated             401  nobody is signed in; WWW-Authenticate says how to sign in
│   ├── Forbidden                   403  the user may not do this
│   ├── NotFound                    404  no such record, or a deleted one
│   ├── Conflict                    409  the state of the record does not allow it
│   │   └── InProgress              409  the same is being done already; Retry-After says when to try again
│   ├── PreconditionFailed          412  the record is not, or no longer, as If-Match says
│   ├── UnsupportedMediaType        415  a body that is not JSON
│   ├── Unprocessable               422  a value that can't be accepted
│   │   └── InvalidReference        422  a field names a record that does not exist
│   ├── TooManyRequests             429  tried too often; Retry-After says when to try again
│   ├── BadGateway                  502  a service outside of this stack can't be reached, or has failed
│   └── Unavailable                 503  the database or the storage is down or busy; Retry-After says when to try again
│       └── SchemaMismatch          503  the schema is not one that this release can work with
├── FastAPIUsersException           400  what fastapi-users's manager finds wrong with accounts and tokens
├── RequestValidationError          422  FastAPI: the request does not have the documented form
├── ResponseValidationError         500  FastAPI: the answer does not have the documented form
├── HTTPException                        Starlette: no such route (404), method (405), too large (413)
├── SQLAlchemyError, its adapter's
│   Error, asyncpg's PostgresError       by SQLSTATE: 409, 422, 503, else 500
├── asyncpg's InterfaceError,
│   InternalClientError             503  the connection was closed meanwhile; else 500
└── ConnectionError, TimeoutError   503  the driver's, in the middle of a statement
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

RETRY_AFTER_SECONDS = 2
TAKEN = "There is an account with this address already"

Detail = str | list[dict[str, Any]]


class ErrorDetail(BaseModel):
    """An error that one sentence describes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "Not Found"}]})
    detail: str


class FieldError(BaseModel):
    """What is wrong with one part of the request, and where: `loc` is the way to it, from body, query or path."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"type": "missing", "loc": ["body", "name"], "msg": "Field required"}]}
    )
    type: str
    loc: list[str | int]
    msg: str


class FieldErrors(BaseModel):
    """What is wrong with the request: an entry for each of the first 20 findings."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"detail": [{"type": "missing", "loc": ["body", "name"], "msg": "Field required"}]}]
        }
    )
    detail: list[FieldError]


class ZooError(Exception):
    """Base of the errors that this code raises itself. `detail` is sent to the client."""

    status: ClassVar[int] = 500
    schema: ClassVar[type[BaseModel]] = ErrorDetail
    example: ClassVar[Detail] = ""  # of `detail`, for the OpenAPI document
    headers: Mapping[str, str] = {}

    def __init__(self, detail: Detail) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(ZooError):
    """Something in the request is wrong; `detail` says what."""

    status = 400
    example = "Wrong email or password"


class Unauthenticated(ZooError):
    """Nobody is signed in: there is no token, or it has expired or was revoked."""

    status = 401
    example = "The token has expired or was revoked: sign in again"

    def __init__(self, detail: Detail, *, token_is_invalid: bool = False) -> None:
        super().__init__(detail)
        # RFC 6750, section 3: no error code if no token was sent.
        self.headers = {"WWW-Authenticate": 'Bearer error="invalid_token"' if token_is_invalid else "Bearer"}


class Forbidden(ZooError):
    """The user who is signed in may not do this."""

    status = 403
    example = "Only a user of type admin may do this; yours is visitor"


class NotFound(ZooError):
    """There is no such record, or it was deleted."""

    status = 404  # its example depends on the path: api/http/examples.py


class Conflict(ZooError):
    """The state of the record does not allow the request."""

    status = 409
    example = "It refers to a record that does not exist, or another record refers to it"


class InProgress(Conflict):
    """The state of the record does not allow the request, or the same is being done already; Retry-After says when to
    try again.
    """

    example = "A request with this Idempotency-Key is under way: ask again in a moment"
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class PreconditionFailed(ZooError):
    """The record is not, or no longer, as If-Match says."""

    status = 412
    example = "It is not, or no longer, as If-Match says: read it again"


class UnsupportedMediaType(ZooError):
    """The body is not of a type that the route accepts."""

    status = 415
    example = "Send the body as JSON, with the header Content-Type: application/json"


class Unprocessable(ZooError):
    """The request is well-formed, but a value in it can't be accepted."""

    status = 422
    schema = FieldErrors


class InvalidReference(Unprocessable):
    """A field of the body names a record that does not exist."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__([{"type": "reference", "loc": ["body", field], "msg": message}])
        self.field = field
        self.message = message


class TooManyRequests(ZooError):
    """It was tried too often; Retry-After says when to try again."""

    status = 429
    example = "Too many attempts: try again in 60 s"

    def __init__(self, detail: Detail, retry_after_seconds: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(retry_after_seconds)}


class BadGateway(ZooError):
    """A service outside of this stack can't be reached, or has failed."""

    status = 502
    example = "The storage can't be reached"


class Unavailable(ZooError):
    """The database is down, busy, or not ready for this release; the storage is down; or the server is too busy."""

    status = 503
    example = "The database can't be reached"
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}


class SchemaMismatch(Unavailable):
    """The database is there, but this release and its schema can't work with each other."""
