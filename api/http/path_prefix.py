"""The path below which clients find the api, if a proxy also serves other things."""

from fastapi import Request
from starlette.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.settings import PATH_PREFIX

HEADER = b"x-forwarded-prefix"
PEER = "zoo.peer"  # in the scope: the address and port of the connection's other end, which may be a proxy


def root_path_of(request: Request) -> str:
    """The prefix of the request's path, which links to other paths need; "" if there is none."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


class PathPrefix:
    """Puts the prefix into the scope, as `root_path` and at the start of `path`.

    It is the one in X-Forwarded-Prefix, if that is valid and sent by a proxy whose address is in `trusted`; otherwise
    `prefix`, from the settings. A proxy may keep the prefix in the path, or remove it. Requests that bypass the proxy,
    such as an orchestrator's probes, are answered, too.
    """

    def __init__(self, prefix: str, trusted: str) -> None:
        self.prefix = prefix
        self.trusted = ProxyHeadersMiddleware(None, trusted).trusted_hosts  # type: ignore[arg-type]  # there is no app

    def find(self, scope: Scope, sent: bytes | None) -> str:
        """Put the prefix into the scope, and return the path below it. `sent` is X-Forwarded-Prefix, if any."""
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
        """Whether the connection is a trusted proxy's. The scope's `client` may be the one that such a proxy names."""
        peer = scope.get(PEER, scope.get("client"))
        return peer is not None and peer[0] in self.trusted
