"""A failure that repeats a thousand times a second is logged once, and then every few seconds with a count."""

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable, Hashable
from contextvars import Context
from functools import partial
from typing import Any

import structlog

from api.log import RequestRecord

SECONDS = 5.0
MAX_KINDS = 100  # at a time; all further ones count as one kind

OF_ONE_ALONE = {"event", "level", "timestamp", "request_id", "trace_id", "exc_info"}


class RepeatFilter(logging.Filter):
    """Passes the first warning or error of a kind; then, every SECONDS, a line with the number since, as `repeated`,
    and without a traceback. After SECONDS without any, the next one is a first again.

    Records are of one kind if they have the same event and data, and if their exceptions, if any, have the same type
    and come from the same place. Lines about requests always pass, and so do records from outside of an event loop,
    where nothing repeats so fast.
    """

    def __init__(self) -> None:
        super().__init__()
        self._repeated: dict[Hashable, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or isinstance(record, RequestRecord):
            return True
        event, fields, error = _parts(record)
        if "repeated" in fields or not (loop := _running_loop()):
            return True
        way = _way(error)
        kind: Hashable = (record.name, event, str(fields), way)
        if kind not in self._repeated and len(self._repeated) >= MAX_KINDS:
            kind = "others"
        if kind in self._repeated:
            self._repeated[kind] += 1
            return False
        if error is not None:
            fields |= {"error": f"{type(error).__name__}: {error}".splitlines()[0], "at": way[-1] if way[1:] else None}
        say = partial(structlog.get_logger(record.name).log, record.levelno, event, **fields)
        self._watch(loop, kind, say)
        return True

    def forget(self) -> None:
        """Drop all counts; they are not logged."""
        self._repeated.clear()

    def _watch(self, loop: asyncio.AbstractEventLoop, kind: Hashable, say: Callable[..., None]) -> None:
        self._repeated[kind] = 0
        # In a context of its own: a line that stands for many has no request id.
        loop.call_later(SECONDS, self._sum_up, loop, kind, say, context=Context())

    def _sum_up(self, loop: asyncio.AbstractEventLoop, kind: Hashable, say: Callable[..., None]) -> None:
        if repeated := self._repeated.pop(kind, 0):
            self._watch(loop, kind, say)
            say(repeated=repeated)


def _parts(record: logging.LogRecord) -> tuple[str, dict[str, Any], BaseException | None]:
    """The event, its data, and the exception, if any, of a record, by structlog or by a library."""
    if isinstance(record.msg, dict):
        fields = {name: value for name, value in record.msg.items() if name not in OF_ONE_ALONE}
        error = record.msg.get("exc_info")
        return record.msg["event"], fields, sys.exception() if error is True else error
    # What differs each time is in later lines (asyncio's), or in arguments: ids of objects, of no use to readers.
    text = str(record.msg) if record.args and record.msg != "%s" else record.getMessage()
    return text.strip().partition("\n")[0], {}, record.exc_info[1] if record.exc_info else None


def _way(error: BaseException | None) -> tuple[str, ...]:
    """The type of `error`, and the lines from where it was handled to where it was raised."""
    if error is None:
        return ()
    frames = traceback.walk_tb(error.__traceback__)
    return (type(error).__name__, *(f"{frame.f_code.co_filename}:{line}" for frame, line in frames))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
