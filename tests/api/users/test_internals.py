"""The internals of fastapi-users, and of FastAPI for the cookie, that the api uses or overrides: docs/internals.md."""

from inspect import signature

from fastapi.security import APIKeyCookie
from fastapi_users.authentication import CookieTransport
from fastapi_users.db import BaseUserDatabase
from fastapi_users.jwt import decode_jwt, generate_jwt
from fastapi_users.manager import BaseUserManager

from api.crud.accounts.manager import UserManager
from api.crud.accounts.users import UserStore
from tests.api.test_internals import overridden


def test_fastapi_api_key_cookie_call() -> None:
    assert list(signature(APIKeyCookie.__call__).parameters) == ["self", "request"]


class TestFastapiUsers:
    def test_fastapi_users_manager_methods(self) -> None:
        assert overridden(UserManager, BaseUserManager) >= {
            *("create", "validate_password", "forgot_password", "reset_password", "verify"),
            *("on_after_forgot_password", "on_after_request_verify"),
        }
        assert callable(BaseUserManager.request_verify)
        assert "on_after_request_verify" in BaseUserManager.request_verify.__code__.co_names
        assert BaseUserManager.reset_password_token_audience != BaseUserManager.verification_token_audience

    def test_fastapi_users_database_methods(self) -> None:
        assert overridden(UserStore, BaseUserDatabase) >= {"get", "get_by_email", "create", "update", "delete"}

    def test_fastapi_users_jwt(self) -> None:
        secret = "of thirty-two characters or more, as HMAC asks for"
        token = generate_jwt({"sub": "1", "aud": "zoo"}, secret, 60)
        assert decode_jwt(token, secret, ["zoo"])["sub"] == "1"

    def test_fastapi_users_cookie_transport_scheme(self) -> None:
        assert isinstance(CookieTransport().scheme, APIKeyCookie)
