"""Who is asking: by address, and by what it shows."""

import ipaddress
from functools import lru_cache

from starlette.types import Scope

from api.client import Client
from api.http.authentication import SAFE_METHODS

IPV6_SUBSCRIBER_PREFIX = 64  # bits: what one subscriber is given has at least all addresses behind them


def client_of(scope: Scope) -> Client:
    """The client of a request."""
    name = None
    for header, value in scope["headers"]:
        if header == b"authorization":
            name = value
            break
        if header == b"cookie":
            name = value
    return Client(address_of(scope), name, None if scope["method"] in SAFE_METHODS else scope)


def address_of(scope: Scope) -> str:
    """Where the client is, as its limits are counted; behind a proxy, what FORWARDED_ALLOW_IPS lets that say."""
    client = scope["client"]
    return subscriber(client[0] if client else "")


@lru_cache(1024)
def subscriber(host: str) -> str:
    """What a client's address is counted as: an IPv6 address as the network whose owner may take any other in it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket has none
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, IPV6_SUBSCRIBER_PREFIX), strict=False))
    return str(address)
