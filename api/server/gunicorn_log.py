"""gunicorn's messages, and those of uvicorn in its workers, in the log of everything else."""

import logging
import os
from typing import Any

from gunicorn.glogging import Logger

from api.log import configure_log
from api.server.repeats import RepeatFilter


class GunicornLog(Logger):
    """gunicorn's logger, of which only the levels are kept; uvicorn-worker has uvicorn log where it does."""

    def __init__(self, cfg: Any) -> None:
        configure_log(os.environ.get("LOG_FORMAT", ""), RepeatFilter())
        super().__init__(cfg)

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers = list(logging.getLogger().handlers)
