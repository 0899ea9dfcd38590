"""For schemathesis: each request is of another user, because some of them end tokens, or change what a user may do."""

from itertools import count
from typing import TYPE_CHECKING, Any

import schemathesis

if TYPE_CHECKING:
    from requests import PreparedRequest

ANYBODY = "Bearer anybody"  # as tests/stack/fuzzing.py tells schemathesis to send it
numbers = count(1)


@schemathesis.hook
def before_call(_: schemathesis.HookContext, __: "schemathesis.Case[Any]", kwargs: dict[str, Any]) -> None:
    kwargs["auth"] = sign


def sign(request: "PreparedRequest") -> "PreparedRequest":
    """Give it the token of the next of the users whom fuzzing.py has made, unless it is to have none, or another."""
    if request.headers.get("Authorization") == ANYBODY:
        request.headers["Authorization"] = f"Bearer user-{next(numbers)}"
    return request
