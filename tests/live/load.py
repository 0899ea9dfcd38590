"""Clients of the api that read and write animals, and record the outcome of every request.

Usage: python3 load.py PORT TOKEN CLIENTS ANIMALS PAUSE. Each client sends one request after the other, with a pause of
that many seconds between them, on a connection that it keeps. On standard input, `switch PORT` moves all of them to
another api, each after the answer that it waits for; it prints `switched` when all have moved. When its input ends, it
prints a line of JSON: for each request its kind, when it was sent (seconds of the monotonic clock), how long it took,
its status, Retry-After, and an error's detail; without a complete answer, status 0, and what came instead as detail.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any

HOST = "127.0.0.1"
EXHIBITS = 100
ANSWER_SECONDS = 30  # the longest that a client waits


class Client:
    """One connection at a time, to the api on `port`."""

    def __init__(self, port: int, token: str, animals: int, pause: float, first: int) -> None:
        self.port, self.token, self.animals, self.pause, self.first = port, token, animals, pause, first
        self.connected_to = 0
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.samples: list[tuple[Any, ...]] = []
        self.is_over = False

    async def run(self) -> None:
        await asyncio.sleep(random.uniform(0, self.pause))
        while True:
            for kind, method, path, body in self.requests():
                if self.is_over:
                    return
                began = time.monotonic()
                answer = await self.ask(method, path, body)
                self.samples.append((kind, began, time.monotonic() - began, *answer))
                await asyncio.sleep(self.pause)

    def requests(self) -> list[tuple[str, str, str, str]]:
        """What a client does: it reads an animal, and those of an exhibit, adds an animal, and changes one.

        Not all clients begin with the same: after an outage, which ends for all at once, they would all write, then
        all read, and within a slow second there would be only the one or the other.
        """
        one, other, exhibit = (
            random.randint(1, self.animals),
            random.randint(1, self.animals),
            random.randint(1, EXHIBITS),
        )
        requests = [
            ("read", "GET", f"/animals/{one}", ""),
            ("read", "GET", f"/animals?exhibit_id={exhibit}&limit=20", ""),
            ("write", "POST", "/animals", json.dumps({"name": "Amara", "exhibit_id": exhibit})),
            ("write", "PATCH", f"/animals/{other}", json.dumps({"name": "Zuri", "exhibit_id": exhibit})),
        ]
        first = self.first % len(requests)
        return requests[first:] + requests[:first]

    async def ask(self, method: str, path: str, body: str) -> tuple[int, str | None, str]:
        """The answer's status, its Retry-After, and the detail of an error."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if self.connected_to != self.port:
                    if self.connected_to:
                        self.writer.close()
                    self.reader, self.writer = await asyncio.open_connection(HOST, self.port)
                    self.connected_to = self.port
                self.writer.write(
                    f"{method} {path} HTTP/1.1\r\nHost: zoo\r\nAuthorization: Bearer {self.token}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                )
                first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                content = await self.reader.readexactly(int(headers["content-length"]))
        except (OSError, asyncio.IncompleteReadError) as error:  # the time-out is an OSError, too
            if self.connected_to:
                self.writer.close()
            self.connected_to = 0
            return 0, None, type(error).__name__
        status = int(first.split(" ")[1])
        detail = str(json.loads(content)["detail"]) if status >= 400 else ""
        return status, headers.get("retry-after"), detail


async def main(port: int, token: str, clients: int, animals: int, pause: float) -> None:
    crowd = [Client(port, token, animals, pause, first) for first in range(clients)]
    tasks = [asyncio.create_task(client.run()) for client in crowd]
    while line := await asyncio.to_thread(sys.stdin.readline):
        port = int(line.split()[1])
        for client in crowd:
            client.port = port
        while any(client.connected_to != port for client in crowd):
            await asyncio.sleep(0.02)
        print("switched", flush=True)  # noqa: T201 - for the test that waits for it
    for client in crowd:
        client.is_over = True
    await asyncio.gather(*tasks)
    print(json.dumps([sample for client in crowd for sample in client.samples]))  # noqa: T201


asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
