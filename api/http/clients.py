"""Which client sends a request: by its address, and by its token or cookie."""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

from starlette.types import Scope

from api.client import Client
from api.http.methods import SAFE_METHODS

IPV6_SUBSCRIBER_PREFIX = 64  # bits: one subscriber has at least all addresses that begin with them


def client_of(scope: Scope, headers: Mapping[bytes, bytes]) -> Client:
    """The client of a request with these headers."""
    name = headers.get(b"authorization") or headers.get(b"cookie")
    return Client(address_of(scope), name, None if scope["method"] in SAFE_METHODS else scope)


def address_of(scope: Scope) -> str:
    """The client's address, as limits count it; behind a proxy that FORWARDED_ALLOW_IPS names, the one it reports."""
    client = scope.get("client")
    return subscriber(client[0] if client else "")


@lru_cache(1024)
def subscriber(host: str) -> str:
    """What a client's address counts as: for IPv6, its network, because the owner may use any address in it.

    Nothing, if it is none: a Unix socket has no address, and a proxy may pass on whatever a client has written.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, IPV6_SUBSCRIBER_PREFIX), strict=False))
    return str(address)
