"""`python -m MODULE`, `python -c CODE` and `python SCRIPT` as processes in which the libraries are already imported.

Importing them takes longer than the work of most of the thousand runs in these tests. So each is forked from a process
that has imported them (tests/forkserver.py), and is a child of its caller like any other. In this checkout, and in one
that links to its packages, the project's own modules are imported, too. That needs Linux; elsewhere, a process is
started as usual.
"""

import atexit
import ctypes
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
OWN = ("alembic_online", "api", "stack_settings")
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
HANGS = 300.0  # seconds after which a process hangs, however busy the machine is

_asking = threading.Lock()


class Python(subprocess.Popen[Any]):
    """`python -m ARGUMENTS`, started without waiting; or `-c CODE`, or a script, whose path is absolute.

    The files are as in subprocess.Popen. `program` is the Python of an environment, by default that of the tests.
    """

    def __init__(  # noqa: PLR0913 - as subprocess.Popen has them
        self,
        *arguments: str,
        env: Mapping[str, str],
        cwd: Path = ROOT,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        text: bool = False,
        program: Path | None = None,
    ) -> None:
        is_module = arguments[0] != "-c" and not arguments[0].startswith("/")
        command = [str(program or sys.executable), *(["-m"] if is_module else []), *arguments]
        super().__init__(command, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, text=text)

    if sys.platform == "linux":

        def _execute_child(self, args: list[str], *options: Any) -> None:
            """In place of fork and exec; the options come in the order of subprocess.Popen's own method."""
            (_, _, _, _, cwd, env, _, _, _, *pipes) = options[:15]
            files = [theirs if theirs >= 0 else usual for usual, theirs in enumerate((pipes[0], pipes[3], pipes[5]))]
            program, *arguments = args
            if arguments[0] == "-m":
                del arguments[0]
            self.pid = _fork(program, {"arguments": arguments, "cwd": str(cwd), "env": dict(env)}, files)
            self._child_created = True
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def run(
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path = ROOT,
    stdin: str | bytes = "",
    timeout: float = HANGS,
) -> subprocess.CompletedProcess[Any]:
    """Run `python -m ARGUMENTS` to its end; its output is text, or bytes if `stdin` is bytes."""
    pipe, text = subprocess.PIPE, isinstance(stdin, str)
    with Python(*arguments, env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, text=text) as process:
        try:
            out, err = process.communicate(stdin, timeout)
        finally:
            process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _fork(program: str, job: dict[str, Any], files: list[int]) -> int:
    """Start the job in a new child of this process; returns the child's id."""
    libc = ctypes.CDLL(None)
    is_ours = all((Path(job["cwd"]) / package).resolve() == (ROOT / package).resolve() for package in OWN)
    with _asking:
        server = _forkserver(program)[is_ours and program == sys.executable]
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # the orphan becomes a child of this process
        try:
            socket.send_fds(server, [json.dumps(job).encode()], files)
            return int(server.recv(100))
        finally:
            libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


@functools.cache
def forking_socket() -> Path:
    """Where processes that are no children of this one can have their jobs done, with the libraries imported."""
    path = Path(tempfile.mkdtemp(prefix="zoo-fork-")) / "socket"
    process = Python(str(Path(__file__).with_name("forkserver.py")), str(path), env=os.environ, cwd=path.parent)
    atexit.register(process.wait)
    atexit.register(process.kill)
    while not path.is_socket():
        assert process.poll() is None
        time.sleep(0.01)
    return path


@functools.cache
def _forkserver(program: str) -> tuple[socket.socket, socket.socket]:
    """Sockets to a forkserver that ends with this process: with the libraries only, and with our modules, too."""
    ours, theirs = zip(*(socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)), strict=True)
    numbers = [end.fileno() for end in theirs]
    command = [program, str(Path(__file__).with_name("forkserver.py")), *map(str, numbers)]
    # A checkout's own modules are compiled once, whatever the caller's environment says.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, env=env, pass_fds=numbers)
    atexit.register(process.wait)
    for end in theirs:
        end.close()
    for end in ours:
        atexit.register(end.close)  # called before `wait`, and ends the forkserver
    return ours
