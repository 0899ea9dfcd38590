"""/health: whether the api can serve, for load balancers, orchestrators and people."""

from datetime import UTC, datetime

from fastapi import Request

from api.crud import health
from api.database.errors import DATABASE_ERRORS
from api.errors import SchemaMismatch, Unavailable
from api.http.openapi import resource_router
from api.schemas.health import Health
from api.state import state_of

router = resource_router("health")


@router.get("")
async def read_health() -> Health:
    """Tell whether the process is alive. Never asks the database, because restarting the api would not repair that."""
    return Health(timestamp=datetime.now(UTC))


@router.get("/db")
async def read_database_health(request: Request) -> Health:
    """Tell whether the database answers."""
    return Health(timestamp=await state_of(request).probes.ask(health.answers))


@router.get("/ready")
async def read_readiness(request: Request) -> Health:
    """Tell whether requests can be served: the database answers, and its schema and this release fit each other."""
    state = state_of(request)
    try:
        return Health(timestamp=await state.probes.ask(health.fits_schema, state.settings.release))
    except SchemaMismatch:
        raise
    except (Unavailable, *DATABASE_ERRORS):
        # Otherwise no proxy would pass on what the replica still answers.
        if state.replica is None or not state.replica.can_stand_in():
            raise
        return Health(timestamp=datetime.now(UTC))
