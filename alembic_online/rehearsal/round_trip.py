"""The legs of a rehearsal: up, down to the revision of the real database, and up again, by Alembic itself."""

import asyncio
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from alembic_online.rehearsal.report import LegReport
from alembic_online.rehearsal.trace import Leg, Trace


async def go(leg: Leg, config: Config, trace: Trace, current: list[str]) -> LegReport:
    """Go this leg; `current` are the revisions that the real database is at.

    It runs in a thread, because the environment has its own event loop. If this is cancelled, the thread ends with its
    connections, which end when the scratch database is dropped.
    """
    config.attributes["trace"] = trace
    trace.leg = leg
    began = time.monotonic()
    try:
        await asyncio.to_thread(_down(config, current) if leg is Leg.DOWN else lambda: command.upgrade(config, "head"))
    except Exception as error:  # noqa: BLE001 - whatever a revision raises is what a rehearsal is for
        return LegReport(
            leg,
            time.monotonic() - began,
            error=_reason(error),
            place=_place(error, trace),
            is_on_purpose=leg is Leg.DOWN and isinstance(error, NotImplementedError),
        )
    return LegReport(leg, time.monotonic() - began)


def _down(config: Config, current: list[str]) -> Callable[[], None]:
    def run() -> None:
        for revision in current or ["base"]:  # several only if a merge is pending
            command.downgrade(config, revision)

    return run


def _reason(error: Exception) -> str:
    if isinstance(error, DBAPIError):
        return str(error.orig).split(">: ", 1)[-1]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _place(error: Exception, trace: Trace) -> str | None:
    """The innermost line of a revision in the error's traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in trace.files]
    if not frames:
        return None
    return f"{trace.files[frames[-1].filename]}, {Path(frames[-1].filename).name} line {frames[-1].lineno}"
