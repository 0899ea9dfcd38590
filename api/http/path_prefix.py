"""The path below which clients find the api, where a proxy serves other things beside it."""

from fastapi import Request
from starlette.types import Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.utils import get_remote_addr

from api.settings import PATH_PREFIX

HEADER = b"x-forwarded-prefix"


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

    def find(self, scope: Scope, sent: bytes | None, send: Send) -> str:
        """Put the prefix into the scope; the path below it. `sent` is the request's X-Forwarded-Prefix, if any."""
        path: str = scope["path"]
        prefix = self.prefix
        if sent is not None and self._is_trusted(scope, send) and PATH_PREFIX.fullmatch(sent.decode("latin-1")):
            prefix = sent.decode()
        if prefix:
            if path == prefix or path.startswith(f"{prefix}/"):
                path = path.removeprefix(prefix) or "/"
            scope["root_path"], scope["path"] = prefix, prefix + path
        return path

    def _is_trusted(self, scope: Scope, send: Send) -> bool:
        """Whether the connection is a trusted proxy's.

        uvicorn has put the client that such a one names into the scope. Its `send` belongs to an object that knows the
        connection.
        """
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        peer = scope["client"] if transport is None else get_remote_addr(transport)
        return peer is not None and peer[0] in self.trusted
