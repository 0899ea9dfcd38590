"""The client on whose behalf something is done: what is shared out among clients is asked for in its name."""

from collections.abc import Callable, Hashable
from contextvars import ContextVar
from typing import NamedTuple


class Client(NamedTuple):
    """Who is asking, as far as a request tells without anything being looked up, and which record it would change.

    `address` is what its limits are counted by, and `name` tells users apart who are behind one address.
    """

    address: str = ""
    name: Hashable = None
    record: Hashable = None


NOBODY = Client()
"""The api itself."""

CLIENT: ContextVar[Callable[[], Client]] = ContextVar("client", default=lambda: NOBODY)
"""Tells the client of the request that is under way."""


def name_client(name: Hashable) -> None:
    """Take the client of this request for one of that name: for what comes without credentials, such as signing in."""
    client = CLIENT.get()()._replace(name=name)
    CLIENT.set(lambda: client)
