"""Puts gunicorn's messages, and those of uvicorn in its workers, into the api's log."""

import logging
import os
from typing import Any

from gunicorn.glogging import Logger

from api.log import configure_log
from api.server.repeats import RepeatFilter


class GunicornLog(Logger):
    """gunicorn's logger with only its levels kept; uvicorn-worker makes uvicorn log to the same handlers."""

    def __init__(self, cfg: Any) -> None:
        configure_log(os.environ.get("LOG_FORMAT", ""), RepeatFilter())
        super().__init__(cfg)

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers = list(logging.getLogger().handlers)
