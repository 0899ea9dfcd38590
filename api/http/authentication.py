"""Who is asking: a bearer token, or a cookie that only this site's own pages may use."""

from fastapi import Request
from fastapi.security import APIKeyCookie
from fastapi_users.authentication import BearerTransport, CookieTransport

from api.errors import Forbidden
from api.settings import Settings

COOKIE = "zoo-auth"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}  # RFC 9110, section 9.2.1; they change nothing here


async def require_same_origin(request: Request) -> None:
    """Refuse a request that another site's page has made a browser send.

    A browser adds the cookie by itself, whoever wrote the page. SameSite keeps it back for other sites, but not for
    other hosts below the same domain, nor for other ports or schemes. The Origin header tells them apart: every
    browser sends it with every unsafe method, and no page can change it. What sends none is no browser, and adds no
    cookie by itself.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return
    scheme, _, host = origin.partition("://")
    is_tls = scheme == "https" or request.app.state.settings.environment == "local"
    if host != request.headers.get("host") or not is_tls:
        raise Forbidden("This request comes from a page of another site: use a bearer token there")


class SameOriginCookie(APIKeyCookie):
    """The cookie's security scheme. It is not looked at where the request has an Authorization header."""

    async def __call__(self, request: Request) -> str | None:  # type: ignore[override]  # no WebSockets here
        """The token in the cookie; Forbidden where another site's page would use it to change something."""
        token = await super().__call__(request)
        if token is None or "authorization" in request.headers:
            return None
        if request.method not in SAFE_METHODS:
            await require_same_origin(request)
        return token


class SameOriginCookieTransport(CookieTransport):
    """fastapi-users's cookie, for this site's own pages; `Secure` everywhere but on the developer's machine."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(
            cookie_name=COOKIE,
            cookie_max_age=settings.access_token_seconds if settings else None,
            cookie_secure=settings is None or settings.environment != "local",
            cookie_samesite="strict",
        )
        self.scheme = SameOriginCookie(name=COOKIE, auto_error=False)


BEARER = BearerTransport("auth/jwt/login")
