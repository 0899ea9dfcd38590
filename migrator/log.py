"""The migrator's log: on standard error, with static event names whose data are fields.

Readable lines on a terminal, a JSON object a line elsewhere; LOG_FORMAT (text, json) decides otherwise.
"""

import logging
import os
import sys
from typing import NoReturn

import structlog


def configure_log(log_format: str) -> None:
    """Log in this format; where it is neither text nor json, by what standard error is."""
    on_terminal = sys.stderr.isatty()
    as_text = log_format == "text" or (log_format != "json" and on_terminal)
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if as_text else "iso", utc=not as_text)
    shared: list[structlog.typing.Processor] = [structlog.stdlib.add_log_level, stamp]
    render: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_text:
        render += [structlog.dev.ConsoleRenderer(colors=on_terminal, pad_event_to=0, pad_level=False, sort_keys=False)]
    else:
        render += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # What Alembic says on the way is said here, with fields; autogenerate's findings are for whoever writes a revision.
    for quiet in ("alembic.runtime.plugins", "alembic.runtime.migration"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    # A connection that can't be closed in order was ended before: whoever works on it says so, without a traceback.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)


def is_debugging() -> bool:
    """Whether MIGRATOR_DEBUG=1 asks for more than one line a failure."""
    return os.environ.get("MIGRATOR_DEBUG") == "1"


def fail(reason: str, exit_code: int) -> NoReturn:
    """End this process with one line; with MIGRATOR_DEBUG=1, where it came from is shown, too."""
    debug = is_debugging()
    structlog.get_logger("migrator").error("the migrator failed", reason=reason, exit_code=exit_code, exc_info=debug)
    sys.exit(exit_code)
