"""A proxy to Postgres that can cut a connection at the worst moment: after a commit, before its answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class Proxy:
    """Passes on everything between clients at a TCP port and the server's socket.

    Armed, it waits for a transaction that has sent a statement with the text `armed`, lets the server commit it, and
    then closes the connection instead of passing on the answer.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.port = 0
        self.armed: bytes | None = None
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(str(self.socket))
        state = {"seen": False, "committing": False}

        async def up() -> None:
            while data := await reader.read(65_536):
                state["seen"] |= self.armed is not None and self.armed in data
                state["committing"] |= state["seen"] and b"COMMIT" in data
                server_writer.write(data)
                await server_writer.drain()

        async def down() -> None:
            while data := await server_reader.read(65_536):
                if state["committing"]:
                    self.armed = None
                    self.cuts += 1
                    return
                writer.write(data)
                await writer.drain()

        directions = [asyncio.create_task(up()), asyncio.create_task(down())]
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for task in directions:
            task.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        for end in (server_writer, writer):
            end.close()


@asynccontextmanager
async def proxying(socket: Path) -> AsyncIterator[Proxy]:
    proxy = Proxy(socket)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1")
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
