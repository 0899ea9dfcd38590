"""The client of the current request, by which connections and other scarce things are shared out."""

from collections.abc import Hashable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple


class Client(NamedTuple):
    """A client, as far as its request identifies it without a query.

    `address` is what its limits are counted by, and `name` distinguishes clients behind one address. `changes` is the
    request's scope, if it may change something.
    """

    address: str = ""
    name: Hashable = None
    changes: Mapping[str, Any] | None = None

    def record(self) -> Hashable:
        """The record that the request would change, once its route is known; None if it names none."""
        return tuple(self.changes.get("path_params", {}).items()) or None if self.changes else None


NOBODY = Client()
"""The api itself."""

CLIENT: ContextVar[Client] = ContextVar("client", default=NOBODY)
"""The client of the current request."""
