"""A process that has imported the libraries, and forks a process that runs a module for each job: see tests/python.py.

Usage: python forkserver.py LIBRARIES OWN. Each is a socket that receives jobs: a JSON object of `arguments` (those
after `-m`, or from `-c` or a script's path on), `cwd` and `env`, with the files for the new process's 0, 1 and 2. The
reply is the id of the process. The processes of OWN have imported this checkout's own modules, too.

Usage: python forkserver.py PATH. Others connect to a socket there (tests/forked.py), each with one such job, which has
the path of its Python, too. The replies are the id, which is that of a group, too, and in the end the exit code.
"""

import atexit
import ctypes
import gc
import importlib.util
import json
import os
import runpy
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# What the migrator and the api import, as far as it is installed; but not gunicorn, which stores the folder that it is
# imported in.
LIBRARIES = (
    "aiosmtplib", "alembic.autogenerate", "alembic.command", "alembic.config", "asyncpg", "email_validator", "fastapi",
    "fastapi_users.authentication", "httptools", "httpx", "jwt", "packaging.version",
    "postgast", "psycopg", "pwdlib.hashers.argon2", "pydantic_settings", "rich.console", "rich.progress", "rich.table",
    "sqlalchemy.dialects.postgresql.asyncpg", "sqlalchemy.ext.asyncio", "structlog", "tenacity", "typer", "uuid_utils",
    "uvicorn", "uvloop",
)  # fmt: skip
OWN = (
    "alembic_online.commands.backfill", "alembic_online.commands.lint", "alembic_online.commands.plan",
    "alembic_online.commands.rehearse", "alembic_online.commands.repair", "alembic_online.commands.status",
    "alembic_online.commands.wait", "api.main",
)  # fmt: skip


def main() -> None:
    """Serve the socket at a path; or both sockets, each in a process of its own."""
    if len(sys.argv) == 2:
        serve_others(listen(sys.argv[1]))
    libraries, own = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    import_all(name for name in LIBRARIES if importlib.util.find_spec(name.partition(".")[0]))
    if another := os.fork():
        own.close()
        serve(libraries)
        os.waitpid(another, 0)
    else:
        libraries.close()
        if importlib.util.find_spec("fastapi"):  # not so in an environment of the tool alone
            sys.path[0] = str(Path(__file__).parent.parent)
            import_all(OWN)
        serve(own)


def import_all(names: Iterable[str]) -> None:
    for name in names:
        importlib.import_module(name)
    gc.freeze()


def serve(jobs: socket.socket) -> None:
    """Fork until the socket is closed."""
    while True:
        message, files, _, _ = socket.recv_fds(jobs, 1 << 20, 3)
        if not message:
            return
        if not fork_an_orphan(jobs):
            jobs.close()
            become(json.loads(message), files)
        for file in files:
            os.close(file)


def fork_an_orphan(jobs: socket.socket) -> bool:
    """Fork a process whose parent has ended, and send its id; False in that process."""
    reading, writing = os.pipe()
    if between := os.fork():
        os.close(writing)
        os.waitpid(between, 0)
        jobs.send(os.read(reading, 100))
        os.close(reading)
        return True
    parent = os.getpid()
    if orphan := os.fork():
        os.write(writing, str(orphan).encode())
        os._exit(0)
    os.close(reading)
    os.close(writing)
    while os.getppid() == parent:  # a job that is to die with its parent would die with this one
        time.sleep(0.0001)
    return False


def listen(path: str) -> socket.socket:
    """The socket at which others ask to be served."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(path)
    listening.listen(100)
    return listening


def serve_others(listening: socket.socket) -> NoReturn:
    """Until the one that has started this ends; a process that was forked ends with its job."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    while True:
        connection, _ = listening.accept()
        if not os.fork():
            break
        connection.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    listening.close()
    message, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    if started := os.fork():
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(started, started)  # whichever of both is first
        for file in files:
            os.close(file)
        connection.send(str(started).encode())
        _, status = os.waitpid(started, 0)
        with suppress(BrokenPipeError):
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    connection.close()
    os.setpgid(0, 0)
    job = json.loads(message)
    sys.executable = job["executable"]
    tempfile.tempdir = None  # the job's environment says where it is
    become(job, files)


def become(job: dict[str, Any], files: list[int]) -> NoReturn:
    """Run the job as Python does, and end."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    module, *sys.argv[1:] = job["arguments"]
    sys.path[0] = job["cwd"]
    try:
        if module == "-c":
            exec(sys.argv[1], {"__name__": "__main__"})
        elif module.startswith("/"):
            sys.argv[0], sys.path[0] = module, str(Path(module).parent)
            runpy.run_path(module, run_name="__main__")
        else:
            runpy._run_module_as_main(module)  # type: ignore[attr-defined]  # noqa: SLF001 - what `python -m` calls
    except SystemExit as ended:
        end(ended.code)
    end(None)


def end(said: object) -> NoReturn:
    """Do what Python does at its end, but leave the memory to the system: taking all modules down is half of a run."""
    if not isinstance(said, int | None):
        sys.stderr.write(f"{said}\n")
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads
    atexit._run_exitfuncs()  # noqa: SLF001
    for file in (sys.stdout, sys.stderr):
        file.flush()
    os._exit((said or 0) & 0xFF if isinstance(said, int | None) else 1)


if __name__ == "__main__":
    main()
