"""Ports for what tests start, which no other process of tests on this machine is given."""

import fcntl
import os
import secrets
import socket
from functools import cache

import pytest

CLAIMS = f"/tmp/zoo-test-ports-{os.getuid()}"  # the same for all runs, which have a TMPDIR each
BELOW_CLIENTS = range(20_000, 32_768)  # Linux gives clients those from there on


@pytest.fixture
def free_port() -> int:
    return find_free_port()


def find_free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on, and that is this process's until its end.

    What it is for may start much later, such as the api of a stack after its migrator: what has no claim, another
    process would be given meanwhile.
    """
    while True:
        port = secrets.choice(BELOW_CLIENTS)  # pytest-randomly seeds `random` anew for each test
        if _claim(port):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    return port


def _claim(port: int) -> bool:
    """Lock the byte of the port in the file that all share. Whether it was free."""
    file, own = _claims()
    if port in own:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    own.add(port)
    return True


@cache
def _claims() -> tuple[int, set[int]]:
    """The file, which stays open because closing it would give up all claims, and what this process has claimed."""
    return os.open(CLAIMS, os.O_RDWR | os.O_CREAT, 0o600), set()
