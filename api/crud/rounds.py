"""A round of the work that the api does by itself, again and again: a failure is for the log, not the end of it."""

from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from api.database.errors import DATABASE_ERRORS, reason_of
from api.errors import Unavailable
from api.metrics import SWEEPS

log = structlog.get_logger(__name__)


@contextmanager
def one_round(sweep: str, what_is_left: str, *expected: type[Exception]) -> Iterator[None]:
    """Count the round, and log its failure: in a line if the database is away, or if it is one of those `expected`."""
    outcome: str | None = "failed"
    try:
        yield
        outcome = "done"
    except CancelledError:  # the api stops
        outcome = None
        raise
    except (Unavailable, *expected, *DATABASE_ERRORS) as error:
        log.warning(what_is_left + " for now", reason=reason_of(error))  # noqa: G003 - two static names
    except Exception:
        log.exception(what_is_left)
    finally:
        if outcome is not None:
            SWEEPS.labels(sweep, outcome).inc()
