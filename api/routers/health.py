"""/health: for load balancers, orchestrators and people."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import APIRouter

from api.crud import health
from api.dependencies import SessionDep
from api.errors import Unavailable
from api.schemas.health import Health

router = APIRouter(prefix="/health", tags=["health"])

# Whoever asks gives up soon after: better a clear "no" within 2 s than none.
ANSWER_SECONDS = 1.0


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        raise Unavailable(f"The database has not answered within {ANSWER_SECONDS} s") from error


def _ok() -> Health:
    return Health(timestamp=datetime.now(UTC))


@router.get("")
async def read_health() -> Health:
    """Tell whether the process is alive. Never touches the database: a restart would not bring that back."""
    return _ok()


@router.get("/db")
async def read_database_health(session: SessionDep) -> Health:
    """Tell whether the database answers."""
    async with _in_time():
        await health.answers(session)
    return _ok()


@router.get("/ready")
async def read_readiness(session: SessionDep) -> Health:
    """Tell whether requests can be served: the database answers, and has the schema that this release needs."""
    async with _in_time():
        await health.has_schema(session)
    return _ok()
