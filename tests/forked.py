"""Stands for a process that is forked by another process (tests/forkserver.py), which has the libraries imported.

Its files are that process's. It passes its signals on, and ends as that one does.

Usage: python forked.py SOCKET OPTIONS -c CODE. If there is no such process, it does that itself.
"""

import json
import os
import signal
import socket
import sys
from typing import NoReturn


def run(server_path: str, executable: str, arguments: list[str]) -> NoReturn:
    """Have the process at this socket fork one for these arguments, those after `-m`, or from `-c` on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(server_path)
        # pathlib would take as long to import as all else here.
        job = {"arguments": arguments, "cwd": os.getcwd(), "env": dict(os.environ)}  # noqa: PTH109
        job["executable"] = os.path.abspath(executable)  # noqa: PTH100
        passed_on = [signal.SIGINT, signal.SIGTERM]
        signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)  # also those that come before it is known whom to
        socket.send_fds(server, [json.dumps(job).encode()], [0, 1, 2])
        started = int(server.recv(100))
        for number in passed_on:
            signal.signal(number, lambda number, _: os.killpg(started, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
        code = int(server.recv(100) or 1)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    _, server, *options = sys.argv
    try:
        run(server, sys.executable, options[options.index("-c") :])
    except ConnectionError:  # it has ended
        os.execv(sys.executable, [sys.executable, *options])
