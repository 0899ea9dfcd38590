"""The client on whose behalf something is done: what is shared out among clients is asked for in its name."""

from collections.abc import Hashable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple


class Client(NamedTuple):
    """Who is asking, as far as a request tells without anything being looked up.

    `address` is what its limits are counted by, and `name` tells users apart who are behind one address. Of a request
    that may change something, `changes` is the scope.
    """

    address: str = ""
    name: Hashable = None
    changes: Mapping[str, Any] | None = None

    def record(self) -> Hashable:
        """The record that the request would change, when its route is known; None where it names none."""
        return tuple(self.changes.get("path_params", {}).items()) or None if self.changes else None


NOBODY = Client()
"""The api itself."""

CLIENT: ContextVar[Client] = ContextVar("client", default=NOBODY)
"""Whose request is under way."""


def name_client(name: Hashable) -> None:
    """Take the client of this request for one of that name: for what comes without credentials, such as signing in."""
    CLIENT.set(CLIENT.get()._replace(name=name))
