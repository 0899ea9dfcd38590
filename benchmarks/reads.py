"""`python reads.py PATH COUNT`: the api answers COUNT requests for PATH, in this process and on a connection without a
network. The api is that of PYTHONPATH, which may be another revision than this file.
"""

import asyncio
import gc
import os
import sys
from typing import Any

import uvicorn
import uvloop
from uvicorn.server import ServerState

from api.log import configure_log
from api.main import create_app
from api.server.http_protocol import HttpProtocol

WARM_UP = 200  # statements are prepared, and caches filled


class NoNetwork(asyncio.Transport):
    """It keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else default

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Connection(HttpProtocol):
    """It says when a request is answered."""

    answered: asyncio.Future[None]

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.answered.set_result(None)


async def read(path: str, count: int) -> None:
    """Answer requests, and end the process."""
    request = f"GET {path} HTTP/1.1\r\nHost: zoo\r\nUser-Agent: benchmark\r\nAccept: */*\r\n\r\n".encode()
    app, loop = create_app(), asyncio.get_running_loop()
    async with app.router.lifespan_context(app) as state:
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
        config.load()
        connection = Connection(config, ServerState(), dict(state or {}), loop)
        network = NoNetwork()
        connection.connection_made(network)
        for number in range(WARM_UP + count):
            if number == WARM_UP:  # as gunicorn's workers do
                gc.collect()
                gc.freeze()
                gc.set_threshold(50_000)
            connection.answered = loop.create_future()
            connection.data_received(request)
            await connection.answered
            assert network.written.startswith(b"HTTP/1.1 200 "), bytes(network.written)
            network.written.clear()
    os._exit(0)  # an end in order would be measured, too


configure_log("json")
uvloop.run(read(sys.argv[1], int(sys.argv[2])))
