"""The tool's log, on standard error: static event names, with data in fields; and how a failed run ends.

Readable lines on a terminal, and where ENVIRONMENT=local is set, as in Compose; one JSON object a line elsewhere.
LOG_FORMAT (text, json) overrides this.
"""

import logging
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

# Alembic's progress is logged by the tool, with fields; autogenerate's findings are for people who write a revision.
# A connection that fails to close was lost before: the code that uses it reports that, without a traceback.
QUIET = {
    "alembic.runtime.plugins": logging.WARNING,
    "alembic.runtime.migration": logging.WARNING,
    "alembic.ddl.postgresql": logging.WARNING,
    "sqlalchemy.pool": logging.CRITICAL,
}


def configure_log(log_format: str) -> None:
    """Log in this format; if it is neither text nor json: text on a terminal or with ENVIRONMENT=local, else JSON."""
    on_terminal = sys.stderr.isatty()
    is_for_people = on_terminal or os.environ.get("ENVIRONMENT") == "local"
    as_text = log_format == "text" or (log_format != "json" and is_for_people)
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if as_text else "iso", utc=not as_text)
    shared: list[Processor] = [structlog.stdlib.add_log_level, stamp]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    console = structlog.dev.ConsoleRenderer(
        colors=on_terminal,
        pad_event_to=0,
        pad_level=False,
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,  # rich's shows local variables, passwords among them
    )
    render: list[Processor] = (
        [console] if as_text else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)


def is_debugging() -> bool:
    """Whether MIGRATOR_DEBUG=1 asks for more than one line per failure."""
    return os.environ.get("MIGRATOR_DEBUG") == "1"


def fail(reason: str, exit_code: int) -> NoReturn:
    """End this process with one line; with MIGRATOR_DEBUG=1, also with the traceback."""
    debug = is_debugging()
    structlog.get_logger("migrator").error("the migrator failed", reason=reason, exit_code=exit_code, exc_info=debug)
    sys.exit(exit_code)
