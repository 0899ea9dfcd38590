"""`python -m local.serve HOST PORT`: the api under uvicorn, with reload."""

import os
import sys

import uvicorn
from fastapi import FastAPI

from api.log import configure_log
from api.server.repeats import RepeatFilter


def create_app() -> FastAPI:
    """The api, in the process that is restarted when its code changes."""
    _configure_log()
    from api import main  # noqa: PLC0415 - the process that watches the files runs this module, too, without the api

    return main.create_app()


def _configure_log() -> None:
    configure_log(os.environ.get("LOG_FORMAT", ""), RepeatFilter())


if __name__ == "__main__":
    _configure_log()
    uvicorn.run(
        "local.serve:create_app",
        factory=True,
        host=sys.argv[1],
        port=int(sys.argv[2]),
        reload=True,
        reload_dirs=["api", "stack_settings"],
        http="api.server.http_protocol:HttpProtocol",  # by name: imported where it is needed
        log_config=None,
        access_log=False,  # api/http/request_log.py has one
    )
