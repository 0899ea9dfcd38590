"""gunicorn's worker: uvicorn's, but it loses no request when it stops, and sends heartbeats until it has stopped.

On SIGTERM uvicorn closes the listening socket at once. The kernel then resets every connection that it had already
accepted on the server's behalf: under load, a dozen whose requests were sent and are never answered. Here the worker
first accepts the waiting connections, and closes the socket when the queue is empty.

uvicorn-worker sends gunicorn two heartbeats within `timeout`, and none while it stops: a worker that hangs is noticed
late, and one whose last requests take long is killed in the middle of them. Nor does it notice that gunicorn's master
was killed: it would keep the port for ever, and count as a release at work.
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

# How long the queue may take to get empty, and how long to wait then for requests that are still on their way.
DRAIN_SECONDS = 2.0
ARRIVAL_SECONDS = 0.5
HEARTBEAT_SECONDS = 1.0


class DrainingServer(Server):
    """A uvicorn server that empties the accept queue before it closes the socket."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        listening = [sock for sock in sockets or [] if not _is_open_in(os.getppid(), sock)]
        for sock in listening:
            sock.listen(0)  # hardly any client is queued from now on: its kernel tries again, and is refused
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
    """Whether the process has `sock` open, too (on Linux; elsewhere, or without permission to look, True).

    gunicorn's master closes its sockets before it stops all workers. While it has them open, only this worker stops,
    for example in a reload, and the queue belongs to the others.
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
    """uvicorn-worker's worker, on a DrainingServer, with heartbeats as long as its event loop runs.

    It stops when its master is gone.
    """

    CONFIG_KWARGS = UvicornWorker.CONFIG_KWARGS | {"http": HttpProtocol, "server_header": False}

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        # In a reload, nothing else limits how long it waits for its last requests.
        self.config.timeout_graceful_shutdown = self.cfg.graceful_timeout
        server = DrainingServer(config=self.config)
        self._install_sigquit_handler()
        heartbeat = asyncio.create_task(self._beat(server))
        await server.serve(sockets=self.sockets)
        heartbeat.cancel()
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _beat(self, server: Server) -> None:
        while True:
            self.notify()
            if os.getppid() != self.ppid:
                server.should_exit = True
            await asyncio.sleep(HEARTBEAT_SECONDS)
