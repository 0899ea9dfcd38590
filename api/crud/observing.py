"""What is measured regularly, rather than at each request: the process, its connections, and what the database says."""

import asyncio
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from api.crud import health
from api.database.engine import SCHEMA_REVISION
from api.database.errors import DATABASE_ERRORS
from api.database.pool import FairQueuePool
from api.database.probes import Probes, Question
from api.errors import Unavailable
from api.metrics import BACKUP, READY, RELEASE, observe_now

EVERY_SECONDS = 1.0
ASK_EVERY_SECONDS = 15.0  # what the database has to be asked

# Where deploy/postgres/backup.sh writes it: a setting of the database, which no backup has in it.
_BACKUP = text("""
SELECT extract(epoch FROM split_part(setting, '=', 2)::timestamptz)::float
FROM pg_db_role_setting, unnest(setconfig) setting
WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND setrole = 0
    AND setting LIKE 'backup.saved=%'
""")

log = structlog.get_logger(__name__)


async def keep_observing(engine: AsyncEngine) -> None:
    """Write what is so in this process, once a second, until cancelled. Nothing that it does can wait."""
    assert isinstance(engine.pool, FairQueuePool)
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + EVERY_SECONDS
        await asyncio.sleep(EVERY_SECONDS)
        observe_now(engine.pool, max(0.0, loop.time() - due))


async def keep_asking(probes: Probes, release: str) -> None:
    """Write whether the database and this release fit, and of when the last backup is, regularly, until cancelled."""
    RELEASE.labels(release, SCHEMA_REVISION).set(1)
    while True:
        READY.set(await _is_so(probes, health.fits_schema, release))
        await _is_so(probes, _observe_backup)
        await asyncio.sleep(ASK_EVERY_SECONDS)


async def _is_so(probes: Probes, question: Question, *arguments: Any) -> bool:
    try:
        await probes.ask(question, *arguments)
    except (Unavailable, *DATABASE_ERRORS):  # which is said at each request
        return False
    except Exception:  # a fault of this code, which must not end the asking
        log.exception("unexpected error")
        return False
    return True


async def _observe_backup(session: AsyncSession) -> None:
    BACKUP.set(await session.scalar(_BACKUP) or 0)
