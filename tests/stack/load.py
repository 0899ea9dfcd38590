"""Clients of the api, run inside its network namespace: they count the outcome of every request.

Usage: python3 load.py CLIENTS. Each client sends one request after the other, each on a connection of its own, until
standard input ends or nothing listens any more. Prints a JSON object: outcome -> count.

    complete   a whole 200 answer
    refused    the connection was refused: the request was never sent, and a client may safely use another server
    lost       anything else: the request was sent, and its whole answer did not come
"""

import asyncio
import json
import sys
from collections import Counter

HOST, PORT = "127.0.0.1", 8000
REQUEST = b"GET /animals HTTP/1.1\r\nHost: zoo\r\nConnection: close\r\n\r\n"


async def ask() -> str:
    try:
        reader, writer = await asyncio.open_connection(HOST, PORT)
    except OSError:
        return "refused"
    try:
        writer.write(REQUEST)
        answer = await reader.read()
    except OSError as error:
        return f"lost: {error!r}"
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), -1)
    return "complete" if head.startswith(b"HTTP/1.1 200") and len(body) == length else f"lost: {answer[:80]!r}"


async def client(outcomes: Counter[str], is_over: asyncio.Event) -> None:
    while not is_over.is_set():
        outcome = await ask()
        outcomes[outcome] += 1
        if outcome == "refused":
            return


async def main(clients: int) -> None:
    outcomes: Counter[str] = Counter()
    is_over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, is_over.set)
    print("started", flush=True)  # noqa: T201 - for the test that waits for it
    await asyncio.gather(*(client(outcomes, is_over) for _ in range(clients)))
    print(json.dumps(outcomes))  # noqa: T201


asyncio.run(main(int(sys.argv[1])))
