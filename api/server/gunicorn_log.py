"""Puts gunicorn's messages, and those of uvicorn in its workers, into the api's log."""

import logging
import os
from typing import Any

from gunicorn.glogging import Logger

from api.log import configure_log
from api.server.repeats import RepeatFilter


def published_at() -> str | None:
    """The address at which Compose publishes the api on this machine; None elsewhere."""
    port = os.environ.get("API_PORT", "")  # Kubernetes may set it to something else
    return f"http://127.0.0.1:{port}" if port.isdecimal() and int(port) else None


class GunicornLog(Logger):
    """gunicorn's logger with only its levels kept; uvicorn-worker makes uvicorn log to the same handlers."""

    def __init__(self, cfg: Any) -> None:
        configure_log(os.environ.get("LOG_FORMAT", ""), RepeatFilter())
        super().__init__(cfg)

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log what gunicorn says; but not where it listens in a container, if deploy/gunicorn.conf.py says more."""
        if not (msg.startswith("Listening at") and published_at()):
            super().info(msg, *args, **kwargs)

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers = list(logging.getLogger().handlers)
