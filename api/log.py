"""The api's log, on standard error: static event names, with data in fields.

Readable lines on a terminal, and where ENVIRONMENT=local is set, as in Compose; one JSON object a line elsewhere.
LOG_FORMAT (text, json) overrides this.
"""

import logging
import os
import sys
import time
from contextvars import ContextVar
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from api.traces import trace_id

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The current request's id: in every line, also in those of the background work that it starts."""

# Libraries whose lines below this level repeat what is logged here, with fields, or are of no interest to operators.
QUIET = {
    "httpx": logging.WARNING,
    "watchfiles": logging.WARNING,
    # A connection that fails to close was lost before: the code that uses it reports that, without a traceback.
    "sqlalchemy.pool": logging.CRITICAL,
    "api.database.pool": logging.CRITICAL,
    # Spans that find no room while the collector is away, which api/external_services/collector.py says.
    "opentelemetry.sdk._shared_internal": logging.CRITICAL,
    # It quotes headers that it can't read, with their secrets.
    "opentelemetry.util.re": logging.CRITICAL,
}


class RequestRecord(logging.LogRecord):
    """The line about a request and its answer. It makes its own JSON, because structlog takes ten times as long."""

    FIELDS = ("method", "path", "status", "duration_ms", "bytes")

    def __init__(self, method: str, path: str, status: int, seconds: float, size: int) -> None:
        level = logging.WARNING if status >= 500 else logging.INFO  # noqa: PLR2004 - a fault of the server
        super().__init__("api.requests", level, __file__, 0, "request", None, None)
        self.method = method
        self.path = path
        self.status = status
        self.duration_ms = round(seconds * 1000, 2)
        self.bytes = size

    def to_json(self) -> str:
        """The JSON that structlog would write."""
        second, rest = divmod(self.created, 1)
        return (
            f'{{"event": "request", "level": "{self.levelname.lower()}", '
            f'"timestamp": "{_iso_second(int(second))}.{int(rest * 1e6):06d}Z", "request_id": "{REQUEST_ID.get()}", '
            f"{_quoted_trace_id()}"
            f'"method": {quoted(self.method)}, "path": {quoted(self.path)}, "status": {self.status}, '
            f'"duration_ms": {self.duration_ms}, "bytes": {self.bytes}}}'
        )


def _quoted_trace_id() -> str:
    found = trace_id()
    return "" if found is None else f'"trace_id": "{found}", '


@lru_cache(maxsize=2)
def _iso_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class Formatter(structlog.stdlib.ProcessorFormatter):
    """structlog's formatter, with a shortcut for the line of a request."""

    def __init__(self, *, as_text: bool, foreign_pre_chain: list[Processor], processors: list[Processor]) -> None:
        super().__init__(processors=processors, foreign_pre_chain=foreign_pre_chain)
        self._as_text = as_text

    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record, RequestRecord) and not self._as_text:
            return record.to_json()
        return super().format(record)


class TextRenderer:
    """structlog's line, and below it a `text` of several lines, unchanged, so that what is in it can be copied."""

    def __init__(self, *, colors: bool) -> None:
        self._console = structlog.dev.ConsoleRenderer(
            colors=colors,
            pad_event_to=0,
            pad_level=False,
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,  # rich's shows local variables, passwords among them
        )

    def __call__(self, logger: WrappedLogger, name: str, event_dict: EventDict) -> str:
        text = event_dict.pop("text", None)
        line = self._console(logger, name, event_dict)
        return f"{line}\n\n{text}" if text else line


def _add_ids(_: WrappedLogger, __: str, event_dict: EventDict) -> EventDict:
    if request_id := REQUEST_ID.get():
        event_dict["request_id"] = request_id
    if found := trace_id():
        event_dict["trace_id"] = found
    return event_dict


def configure_log(log_format: str, *filters: logging.Filter) -> None:
    """Write everything that this process logs in this format, if it passes these filters.

    If the format is neither text nor json: text on a terminal or with ENVIRONMENT=local, else JSON.
    """
    on_terminal = sys.stderr.isatty()
    is_for_people = on_terminal or os.environ.get("ENVIRONMENT") == "local"
    as_text = log_format == "text" or (log_format != "json" and is_for_people)
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if as_text else "iso", utc=not as_text)
    shared: list[Processor] = [structlog.stdlib.add_log_level, stamp, _add_ids]
    render: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_text:
        render += [TextRenderer(colors=on_terminal)]
    else:
        render += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    foreign: list[Processor] = [structlog.stdlib.ExtraAdder(RequestRecord.FIELDS), *shared]
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter(as_text=as_text, foreign_pre_chain=foreign, processors=render))
    for each in filters:
        handler.addFilter(each)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    # No line has them, and looking them up takes longer than all the rest of making a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
