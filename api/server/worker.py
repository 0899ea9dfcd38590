"""gunicorn's worker: uvicorn's, with an end that loses no request, and a heart that beats to that end.

On SIGTERM uvicorn closes the listening socket at once. The kernel then resets every connection that it had already
accepted on the server's behalf, and under load that is a dozen whose requests were sent and never answered. Here the
worker first takes over what is waiting, and closes when the queue is empty.

uvicorn-worker tells gunicorn twice within `timeout` that it is alive, and no more once it is ending: a worker that
hangs is found out late, and one whose last requests take long is killed in the middle of them.
"""

import asyncio
import os
import select
import socket
import sys
from pathlib import Path

from gunicorn.arbiter import Arbiter
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from api.server.http_protocol import HttpProtocol

# For a queue that never empties, and for requests that are still on their way when it has.
DRAIN_SECONDS = 2.0
ARRIVAL_SECONDS = 0.5
HEARTBEAT_SECONDS = 1.0


class DrainingServer(Server):
    """A uvicorn server that empties the accept queue before it closes it."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        listening = [sock for sock in sockets or [] if not _is_open_in(os.getppid(), sock)]
        for sock in listening:
            sock.listen(0)  # hardly anybody is queued from now on: who comes tries again, and is refused then
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while _anybody_waits(listening) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0)  # the event loop accepts them
        for server in self.servers:
            server.close()
        await asyncio.sleep(ARRIVAL_SECONDS)
        await super().shutdown(sockets)


def _anybody_waits(sockets: list[socket.socket]) -> bool:
    readable, _, _ = select.select(sockets, [], [], 0)
    return bool(readable)


def _is_open_in(pid: int, sock: socket.socket) -> bool:
    """Whether the process has `sock` open, too (Linux; elsewhere, and where it does not let us look, True).

    gunicorn's master closes its own before it ends all workers. While it has it open only this worker ends, in a
    reload say, and the queue belongs to the others.
    """
    name = f"socket:[{os.fstat(sock.fileno()).st_ino}]"
    try:
        return any(_target(entry) == name for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return True


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


class Worker(UvicornWorker):
    """uvicorn-worker's, on a DrainingServer, with a heartbeat for as long as its event loop runs."""

    CONFIG_KWARGS = UvicornWorker.CONFIG_KWARGS | {"http": HttpProtocol}

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        # In a reload nothing else would end it.
        self.config.timeout_graceful_shutdown = self.cfg.graceful_timeout
        server = DrainingServer(config=self.config)
        self._install_sigquit_handler()
        heartbeat = asyncio.create_task(self._beat())
        await server.serve(sockets=self.sockets)
        heartbeat.cancel()
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _beat(self) -> None:
        while True:
            self.notify()
            await asyncio.sleep(HEARTBEAT_SECONDS)
