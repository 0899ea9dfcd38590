"""Which proxies are believed: those that FORWARDED_ALLOW_IPS names."""

from starlette.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

PEER = "zoo.peer"  # in the scope: the address and port of the connection's other end, which may be a proxy


class TrustedProxies:
    """The proxies whose addresses are in FORWARDED_ALLOW_IPS: addresses and networks, with commas between them."""

    def __init__(self, addresses: str) -> None:
        self._hosts = ProxyHeadersMiddleware(None, addresses).trusted_hosts  # type: ignore[arg-type]  # there is no app

    def have_sent(self, scope: Scope) -> bool:
        """Whether the connection is one of theirs. The scope's `client` may be the one that such a proxy names."""
        peer = scope.get(PEER, scope.get("client"))
        return peer is not None and peer[0] in self._hosts
