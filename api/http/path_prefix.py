"""The path below which clients find the api, where a proxy serves other things beside it."""

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.utils import get_remote_addr

from api.settings import PATH_PREFIX

HEADER = b"x-forwarded-prefix"


def root_path_of(request: Request) -> str:
    """The prefix of the request's path, which links to other paths need; "" where there is none."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


class PathPrefix:
    """Pure ASGI middleware, outside of all: what is inside finds the prefix as `root_path`, and in front of the path.

    It is the one in X-Forwarded-Prefix, where a proxy sends that whose address is among `trusted`, and it is one; else
    `prefix`, of the settings. A proxy may pass the path on with the prefix or without. What comes past the proxy, such
    as an orchestrator's probes, is answered as well.
    """

    def __init__(self, app: ASGIApp, prefix: str, trusted: str) -> None:
        self.app = app
        self.prefix = prefix
        self.trusted = ProxyHeadersMiddleware(app, trusted).trusted_hosts  # type: ignore[arg-type]  # as uvicorn has it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            prefix = self.prefix or scope.get("root_path", "")
            for name, value in scope["headers"]:
                if name == HEADER and self._trusts(scope, send):
                    sent = value.decode("latin-1")
                    if PATH_PREFIX.fullmatch(sent):
                        prefix = sent
            if prefix:
                path = scope["path"]
                scope["root_path"] = prefix
                if path == prefix:
                    scope["path"] = f"{prefix}/"
                elif not path.startswith(f"{prefix}/"):
                    scope["path"] = prefix + path
        await self.app(scope, receive, send)

    def _trusts(self, scope: Scope, send: Send) -> bool:
        """Whether the connection is a trusted proxy's.

        uvicorn has put the client that such a one names into the scope. Its `send` belongs to an object that knows the
        connection.
        """
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        peer = scope["client"] if transport is None else get_remote_addr(transport)
        return peer is not None and peer[0] in self.trusted
