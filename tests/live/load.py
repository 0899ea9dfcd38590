"""Clients of the api who read and write animals, and note what becomes of every request.

Usage: python3 load.py PORT TOKEN CLIENTS ANIMALS. Each client sends one request after the other, with a pause between
them, on a connection that it keeps. On standard input, `switch PORT` has all of them go to another api, each after the
answer that it waits for; `switched` tells that nobody is left. When that input ends, it prints a line of JSON: for each
request its kind, when it was sent (seconds of the monotonic clock), how long it took, and its status; 0 where there was
no whole answer.
"""

import asyncio
import json
import random
import sys
import time

HOST = "127.0.0.1"
PAUSE = 0.02
EXHIBITS = 100


class Client:
    """One connection at a time, to the api on `port`."""

    def __init__(self, port: int, token: str, animals: int) -> None:
        self.port, self.token, self.animals = port, token, animals
        self.connected_to = 0
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.samples: list[tuple[str, float, float, int]] = []
        self.is_over = False

    async def run(self) -> None:
        while not self.is_over:
            for kind, method, path, body in self.requests():
                began = time.monotonic()
                status = await self.ask(method, path, body)
                self.samples.append((kind, began, time.monotonic() - began, status))
                await asyncio.sleep(PAUSE)

    def requests(self) -> list[tuple[str, str, str, str]]:
        """What a client does: it looks at an animal and at an exhibit's, adds one, and changes one."""
        one, other, exhibit = (
            random.randint(1, self.animals),
            random.randint(1, self.animals),
            random.randint(1, EXHIBITS),
        )
        return [
            ("read", "GET", f"/animals/{one}", ""),
            ("read", "GET", f"/animals?exhibit_id={exhibit}&limit=20", ""),
            ("write", "POST", "/animals", json.dumps({"name": "Amara", "exhibit_id": exhibit})),
            ("write", "PATCH", f"/animals/{other}", json.dumps({"name": "Zuri", "exhibit_id": exhibit})),
        ]

    async def ask(self, method: str, path: str, body: str) -> int:
        """The status of the answer; 0 where it was not a whole one."""
        try:
            if self.connected_to != self.port:
                if self.connected_to:
                    self.writer.close()
                self.reader, self.writer = await asyncio.open_connection(HOST, self.port)
                self.connected_to = self.port
            self.writer.write(
                f"{method} {path} HTTP/1.1\r\nHost: zoo\r\nAuthorization: Bearer {self.token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:"))
            await self.reader.readexactly(length)
            return int(head.split(" ", 2)[1])
        except (OSError, asyncio.IncompleteReadError):
            self.connected_to = 0
            return 0


async def main(port: int, token: str, clients: int, animals: int) -> None:
    crowd = [Client(port, token, animals) for _ in range(clients)]
    tasks = [asyncio.create_task(client.run()) for client in crowd]
    while line := await asyncio.to_thread(sys.stdin.readline):
        port = int(line.split()[1])
        for client in crowd:
            client.port = port
        while any(client.connected_to != port for client in crowd):
            await asyncio.sleep(PAUSE)
        print("switched", flush=True)  # noqa: T201 - for the test that waits for it
    for client in crowd:
        client.is_over = True
    await asyncio.gather(*tasks)
    print(json.dumps([sample for client in crowd for sample in client.samples]))  # noqa: T201


asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
