"""What a route needs that does a request with an Idempotency-Key once."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import Depends, Header, Request, params

from api.crud.once import Readable, begun, done_once
from api.database.driver import Database, savepoint
from api.dependencies.accounts import CallerDep
from api.state import state_of

IdempotencyKeyDep = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A value of your choice, new for each request. If a request is sent again with the same value, it"
        " is not done again, but answered as before. Kept for 24 hours.",
    ),
]


async def get_changes(request: Request) -> AsyncIterator[Database]:
    """The database, for statements that change something: with an Idempotency-Key, all in one transaction."""
    database, once = state_of(request).database, begun(request)
    if once is None:
        yield database
        return
    async with database.begin() as transaction:
        yield Database(partial(savepoint, transaction))
        await once.keep(transaction)


ChangesDep = Annotated[Database, Depends(get_changes, scope="function")]
"""The database, for statements that change something and need no session."""


def honours_key(require_readable: Readable | None = None) -> params.Depends:
    """For a route's dependencies, after those that say who may use it: with an Idempotency-Key, it is done once.

    The answer is given again only if `require_readable` still finds the record that it is about.
    """

    async def do_once(request: Request, caller: CallerDep, key: IdempotencyKeyDep = None) -> AsyncIterator[None]:
        if key is None:
            yield
            return
        async with done_once(state_of(request).database, request, caller, key, require_readable):
            yield

    return params.Depends(do_once, scope="function")
