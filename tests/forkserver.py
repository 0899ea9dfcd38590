"""A process that has imported the libraries, and forks a process that runs a module for each job: see tests/python.py.

Usage: python forkserver.py FD. The socket FD receives jobs: a JSON object of `arguments` (those after `-m`, or from
`-c` on), `cwd` and `env`, with the files for the new process's 0, 1 and 2. The reply is the id of the process.
"""

import gc
import importlib
import json
import os
import runpy
import socket
import sys
from typing import Any

# What the migrator and the api import. Nothing of the checkout, because tests have many of them, nor gunicorn, which
# stores the folder that it is imported in.
LIBRARIES = (
    "aiosmtplib", "alembic.autogenerate", "alembic.command", "alembic.config", "asyncpg", "email_validator", "fastapi",
    "fastapi_users.authentication", "httptools", "httpx", "jwt", "packaging.version",
    "postgast", "pwdlib.hashers.argon2", "pydantic_settings", "rich.console", "rich.progress", "rich.table",
    "sqlalchemy.dialects.postgresql.asyncpg", "sqlalchemy.ext.asyncio", "structlog", "tenacity", "typer", "uuid_utils",
    "uvicorn", "uvloop",
)  # fmt: skip


def main() -> None:
    """Fork until the socket is closed."""
    jobs = socket.socket(fileno=int(sys.argv[1]))
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    while True:
        message, files, _, _ = socket.recv_fds(jobs, 1 << 20, 3)
        if not message:
            return
        if not fork_an_orphan(jobs):
            jobs.close()
            become(json.loads(message), files)
            return
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
    if orphan := os.fork():
        os.write(writing, str(orphan).encode())
        os._exit(0)
    os.close(reading)
    os.close(writing)
    return False


def become(job: dict[str, Any], files: list[int]) -> None:
    """Run the job as `python -m` does."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    module, *sys.argv[1:] = job["arguments"]
    sys.path[0] = job["cwd"]
    if module == "-c":
        exec(sys.argv[1], {"__name__": "__main__"})
    else:
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]  # noqa: SLF001 - what `python -m` calls


if __name__ == "__main__":
    main()
