"""Who is asking: a bearer token, or a cookie that only this site's own pages may use."""

import re

from fastapi import Request
from fastapi.security import APIKeyCookie
from fastapi_users.authentication import BearerTransport, CookieTransport

from api.errors import Forbidden
from api.http.findings import refuse_repeated
from api.settings import Settings

COOKIE = "zoo-auth"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}  # RFC 9110, section 9.2.1; they change nothing here


def require_same_origin(request: Request, *, is_local: bool) -> None:
    """Forbidden for a request that another site's page has made a browser send, and that would change something.

    A browser adds the cookie by itself, whoever wrote the page. SameSite keeps it back for other sites, but not for
    other hosts below the same domain, nor for other ports or schemes. The Origin header tells them apart: every
    browser sends it with every unsafe method, and no page can change it. What sends none is no browser, and adds no
    cookie by itself.
    """
    origin = request.headers.get("origin")
    if origin is None or request.method in SAFE_METHODS:
        return
    scheme, _, host = origin.partition("://")
    is_tls = scheme == "https" or is_local
    if host != request.headers.get("host") or not is_tls:
        raise Forbidden("This request comes from a page of another site: use a bearer token there")


def only_cookie(request: Request, name: str) -> str | None:
    """The value of the cookie `name`; Unprocessable where there are several, set for different paths, say.

    Starlette takes all cookies apart, of which there may be thousands, and of several of a name the last.
    """
    values = re.findall(rf"(?:^|;)\s*{re.escape(name)}\s*=([^;]*)", ";".join(request.headers.getlist("cookie")))
    refuse_repeated("cookie", [name for _ in values])
    return values[0].strip() if values else None


class CookieScheme(APIKeyCookie):
    """The cookie's security scheme. It is not looked at where the request has an Authorization header."""

    async def __call__(self, request: Request) -> str | None:  # type: ignore[override]  # no WebSockets here
        """The token in the cookie."""
        return None if "authorization" in request.headers else only_cookie(request, self.model.name)


COOKIE_SCHEME = CookieScheme(name=COOKIE, auto_error=False)


class SameOriginCookieTransport(CookieTransport):
    """fastapi-users's cookie, for this site's own pages; `Secure` everywhere but on the developer's machine."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            cookie_name=COOKIE,
            cookie_max_age=settings.access_token_seconds,
            cookie_secure=settings.environment != "local",
            cookie_samesite="strict",
        )
        self.scheme = COOKIE_SCHEME


BEARER = BearerTransport("auth/jwt/login")
