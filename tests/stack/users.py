"""The stack's users: they are made by the api's own command, and sign in as anybody does."""

from typing import TYPE_CHECKING

import httpx

from tests.users import PASSWORD

if TYPE_CHECKING:
    from tests.stack.stack import Stack

ADMIN = "admin@zoo.example"


def admins_token(stack: "Stack", email: str = ADMIN) -> str:
    """Create an admin; the token with which that user is signed in."""
    stack.exec("api", "python3", "-m", "api", "create-user", email, "--type", "admin", stdin=PASSWORD)
    return str(sign_in(stack, email).raise_for_status().json()["access_token"])


def sign_in(stack: "Stack", email: str = ADMIN, password: str = PASSWORD) -> httpx.Response:
    """The answer to this user's sign-in."""
    form = {"username": email, "password": password}
    return httpx.post(f"{stack.address}/auth/jwt/login", data=form, timeout=30)
