"""gunicorn's worker: uvicorn's, with an end that loses no request.

On SIGTERM uvicorn closes the listening socket at once. The kernel then resets every connection that it had already
accepted on the server's behalf, and under load that is a dozen whose requests were sent and never answered. Here the
worker first takes over what is waiting, and closes when the queue is empty.
"""

import asyncio
import select
import socket
import sys

from gunicorn.arbiter import Arbiter
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

# For clients that never pause, and for requests that are still on their way when the queue is empty.
DRAIN_SECONDS = 2.0
ARRIVAL_SECONDS = 0.5


class DrainingServer(Server):
    """A uvicorn server that empties the accept queue before it closes it."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        listening = sockets or []
        for sock in listening:
            sock.listen(0)  # from now on the kernel queues hardly anybody: who comes now tries again, and is refused
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while _anybody_waiting(listening) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0)  # the event loop accepts them
        for server in self.servers:
            server.close()
        for sock in listening:
            sock.close()
        await asyncio.sleep(ARRIVAL_SECONDS)
        await super().shutdown(sockets)


def _anybody_waiting(sockets: list[socket.socket]) -> bool:
    readable, _, _ = select.select(sockets, [], [], 0)
    return bool(readable)


class Worker(UvicornWorker):
    """uvicorn-worker's, on a DrainingServer."""

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        server = DrainingServer(config=self.config)
        self._install_sigquit_handler()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
