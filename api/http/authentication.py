"""How a request authenticates: by a bearer token, or by a cookie that only this site's own pages may use."""

import re
from typing import Any

from fastapi import Request
from fastapi.security import APIKeyCookie
from fastapi_users.authentication import BearerTransport, CookieTransport

from api.errors import Forbidden
from api.http.findings import refuse_repeated
from api.http.methods import SAFE_METHODS
from api.settings import Settings

COOKIE = "zoo-auth"
# Browsers accept it only over TLS, and only from this host, for all its paths: no other host of the same domain, and
# nobody on a connection in plain HTTP, can replace it.
HOST_COOKIE = f"__Host-{COOKIE}"
OWN_PAGES = {"same-origin", "none"}  # in Sec-Fetch-Site; "none" if the user typed the address, or used a bookmark
DEFAULT_PORTS = {"http": 80, "https": 443}

_host_and_port = re.compile(r"(\[[0-9a-f:.]+\]|[^\s@/?#:\[\]]+)(?::(\d{1,5}))?").fullmatch


def is_local(settings: Settings) -> bool:
    """Whether this is the developer's machine, where there is no TLS."""
    return settings.environment == "local"


def require_same_origin(request: Request, settings: Settings) -> None:
    """Forbidden if another site's page made a browser send this request, and it would change something.

    A browser adds the cookie by itself, whoever wrote the page. SameSite prevents that for other sites, but not for
    other hosts of the same domain, nor for other ports or schemes. Sec-Fetch-Site tells them apart; if it is missing,
    as in old browsers, the Origin header does, which every browser sends with every unsafe method. No page can change
    either. A client that sends neither is not a browser, and adds no cookie by itself.
    """
    if request.method in SAFE_METHODS:
        return
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin in settings.cors_origins or (origin is None and site is None):
        return
    if site not in OWN_PAGES if site is not None else not _is_of_this_host(origin or "", request, settings):
        raise Forbidden("This request comes from a page of another site: use a bearer token there")


def only_cookie(request: Request, name: str) -> str | None:
    """The value of the cookie `name`; Unprocessable if there are several, for example of different paths.

    Starlette would parse all cookies, of which there may be thousands, and take the last of several with one name.
    """
    values = re.findall(rf"(?:^|;)\s*{re.escape(name)}\s*=([^;]*)", ";".join(request.headers.getlist("cookie")))
    refuse_repeated("cookie", [name for _ in values])
    return values[0].strip() if values else None


def _is_of_this_host(origin: str, request: Request, settings: Settings) -> bool:
    scheme, _, host = origin.lower().partition("://")
    if scheme != "https" and not (scheme == "http" and is_local(settings)):
        return False
    theirs, ours = (_host_and_port(found) for found in (host, request.headers.get("host", "").lower()))
    if theirs is None or ours is None or theirs[1] != ours[1]:
        return False
    return int(theirs[2] or DEFAULT_PORTS[scheme]) == int(ours[2] or DEFAULT_PORTS[scheme])


def cookie_name(settings: Settings) -> str:
    """The name of the cookie."""
    return COOKIE if is_local(settings) else HOST_COOKIE


def find_cookie(request: Request, settings: Settings) -> str | None:
    """The token in the cookie; None, too, if the request has an Authorization header."""
    return None if "authorization" in request.headers else only_cookie(request, cookie_name(settings))


def has_cookie(request: Request, settings: Settings) -> bool:
    """Whether a request has the cookie, with a valid token or not."""
    return any(cookie_name(settings) in cookie for cookie in request.headers.getlist("cookie"))


def declare_sign_in(document: dict[str, Any], cookie: str) -> None:
    """Complete what the OpenAPI document says of signing in, with the name of the cookie."""
    schemes = document["components"]["securitySchemes"]
    schemes["CookieScheme"]["name"] = cookie
    # Swagger UI's dialog opens at the field of the last one: at the username, rather than at the cookie.
    document["components"]["securitySchemes"] = dict(
        sorted(schemes.items(), key=lambda one: one[1]["type"] == "oauth2")
    )


class CookieScheme(APIKeyCookie):
    """The cookie's security scheme, for the OpenAPI document, which gets the cookie's name from the settings."""

    async def __call__(self, request: Request) -> None:  # type: ignore[override]  # no WebSockets here
        """See find_cookie."""


COOKIE_SCHEME = CookieScheme(name=COOKIE, auto_error=False)


class SameOriginCookieTransport(CookieTransport):
    """fastapi-users's cookie, for this site's own pages.

    On the developer's machine, its path is the prefix of the api; elsewhere it is the whole host, because browsers
    require that of a `__Host-` cookie.
    """

    def __init__(self, settings: Settings, root_path: str) -> None:
        super().__init__(
            cookie_name=cookie_name(settings),
            cookie_max_age=settings.access_token_seconds,
            cookie_path=root_path if root_path and is_local(settings) else "/",
            cookie_secure=not is_local(settings),
            cookie_samesite="strict",
        )
        self.scheme = COOKIE_SCHEME


BEARER = BearerTransport("auth/jwt/login")
