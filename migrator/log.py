"""The migrator's log: the api's, less what Alembic says, and how a run ends that fails."""

import logging
import os
import sys
from typing import NoReturn

import structlog

from api import log


def configure_log(log_format: str) -> None:
    """Log in this format; where it is neither text nor json, by what standard error is."""
    log.configure_log(log_format)
    # What Alembic says on the way is said here, with fields; autogenerate's findings are for whoever writes a revision.
    for quiet in ("alembic.runtime.plugins", "alembic.runtime.migration"):
        logging.getLogger(quiet).setLevel(logging.WARNING)


def is_debugging() -> bool:
    """Whether MIGRATOR_DEBUG=1 asks for more than one line a failure."""
    return os.environ.get("MIGRATOR_DEBUG") == "1"


def fail(reason: str, exit_code: int) -> NoReturn:
    """End this process with one line; with MIGRATOR_DEBUG=1, where it came from is shown, too."""
    debug = is_debugging()
    structlog.get_logger("migrator").error("the migrator failed", reason=reason, exit_code=exit_code, exc_info=debug)
    sys.exit(exit_code)
