"""How what fastapi-users raises is answered."""

from fastapi import FastAPI, Request
from fastapi_users.exceptions import (
    FastAPIUsersException,
    InvalidResetPasswordToken,
    InvalidVerifyToken,
    UserAlreadyExists,
    UserAlreadyVerified,
)

from api.errors import TAKEN, BadRequest
from api.http.error_handlers import ErrorResponse, handle_own_error

_BY_USERS_EXCEPTION: dict[type[FastAPIUsersException], str] = {
    UserAlreadyExists: TAKEN,
    UserAlreadyVerified: "The address is verified already",
    InvalidVerifyToken: "The token is not valid, or no longer: request another one",
    InvalidResetPasswordToken: "The token is not valid, or no longer: request another one",
}


async def handle_users_exception(request: Request, error: FastAPIUsersException) -> ErrorResponse:
    """Answer an exception of fastapi-users's manager, with a sentence of our own."""
    if type(error) not in _BY_USERS_EXCEPTION:
        raise error
    return await handle_own_error(request, BadRequest(_BY_USERS_EXCEPTION[type(error)]))


def add_users_handler(app: FastAPI) -> None:
    """Add the handler."""
    app.exception_handler(FastAPIUsersException)(handle_users_exception)
