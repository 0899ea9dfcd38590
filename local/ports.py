"""Ports for servers on 127.0.0.1."""

import secrets
import socket
from contextlib import ExitStack, suppress

BELOW_CLIENTS = range(10_000, 20_000)  # Linux gives them ports from 32768, others from 49152


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on: one that the kernel gives to clients could be taken while a server starts."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            port, probe = secrets.choice(BELOW_CLIENTS), stack.enter_context(socket.socket())
            with suppress(OSError):  # taken
                probe.bind(("127.0.0.1", port))
                found.append(port)
    return found
