"""The path below which clients find the api, where a proxy serves other things beside it."""

from fastapi import Request
from starlette.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.settings import PATH_PREFIX

HEADER = b"x-forwarded-prefix"
PEER = "zoo.peer"  # in the scope: the address and port of the connection itself, which may be a proxy's


def root_path_of(request: Request) -> str:
    """The prefix of the request's path, which links to other paths need; "" where there is none."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


class PathPrefix:
    """Whatever answers finds the prefix as the scope's `root_path`, and in front of its path.

    It is the one in X-Forwarded-Prefix, where a proxy sends that whose address is among `trusted`, and it is one; else
    `prefix`, of the settings. A proxy may pass the path on with the prefix or without. What comes past the proxy, such
    as an orchestrator's probes, is answered as well.
    """

    def __init__(self, prefix: str, trusted: str) -> None:
        self.prefix = prefix
        self.trusted = ProxyHeadersMiddleware(None, trusted).trusted_hosts  # type: ignore[arg-type]  # there is no app

    def find(self, scope: Scope, sent: bytes | None) -> str:
        """Put the prefix into the scope; the path below it. `sent` is the request's X-Forwarded-Prefix, if any."""
        path: str = scope["path"]
        prefix = self.prefix
        if sent is not None and self._is_trusted(scope) and PATH_PREFIX.fullmatch(sent.decode("latin-1")):
            prefix = sent.decode()
        if prefix:
            if path == prefix or path.startswith(f"{prefix}/"):
                path = path.removeprefix(prefix) or "/"
            scope["root_path"], scope["path"] = prefix, prefix + path
        return path

    def _is_trusted(self, scope: Scope) -> bool:
        """Whether the connection is a trusted proxy's: the scope's `client` is whom such a proxy names."""
        peer = scope.get(PEER, scope["client"])
        return peer is not None and peer[0] in self.trusted
