"""/health: for load balancers, orchestrators and people."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud import health
from api.errors import Unavailable
from api.http.openapi import resource_router
from api.schemas.health import Health
from api.state import State, state_of

router = resource_router("health")

# Whoever asks gives up soon after: better a clear "no" within 2 s than none.
ANSWER_SECONDS = 1.0

abandoned: set[asyncio.Task[None]] = set()


async def _ask(state: State, question: Callable[[AsyncSession], Awaitable[None]]) -> Health:
    """Put `question` to the database; Unavailable when the answer takes too long.

    In a task of its own: to give up a connection that hangs takes a while as well, and the answer must not wait for
    that.
    """

    async def ask() -> None:
        async with state.probing() as session:
            await question(session)

    task = asyncio.create_task(ask())
    done, _ = await asyncio.wait({task}, timeout=ANSWER_SECONDS)
    if not done:
        abandoned.add(task)  # the event loop itself keeps no hold of it
        task.add_done_callback(abandoned.discard)
        task.cancel()
        raise Unavailable(f"The database has not answered within {ANSWER_SECONDS:g} s")
    task.result()
    return _ok()


def _ok() -> Health:
    return Health(timestamp=datetime.now(UTC))


@router.get("")
async def read_health() -> Health:
    """Tell whether the process is alive. Never touches the database: a restart would not bring that back."""
    return _ok()


@router.get("/db")
async def read_database_health(request: Request) -> Health:
    """Tell whether the database answers."""
    return await _ask(state_of(request), health.answers)


@router.get("/ready")
async def read_readiness(request: Request) -> Health:
    """Tell whether requests can be served: the database answers, and has the schema that this release needs."""
    return await _ask(state_of(request), health.has_schema)
