"""A real PgBouncer between a test and Postgres."""

import asyncio
import functools
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server, as_caller
from tests.ports import find_free_port
from tests.python import HANGS

SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin"
Version = tuple[int, ...]
# From this one on it can keep the prepared statements of its clients apart.
PREPARES: Version = (1, 21)


@functools.cache
def installed() -> dict[Version, str]:
    """The programs by their versions, the newest last: Debian's own, and what .ci/pgbouncer has installed beside it."""
    found = {}
    for name in ("pgbouncer", "pgbouncer-testing"):
        if program := shutil.which(name, path=SBIN):
            said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            numbers = re.search(r"PgBouncer ([\d.]+)", said)
            assert numbers is not None
            found[tuple(map(int, numbers[1].split(".")))] = program
    return dict(sorted(found.items()))


def newest() -> str:
    """A program that can keep prepared statements apart; the test is skipped if there is none, except in CI."""
    able = [program for version, program in installed().items() if version >= PREPARES]
    if not able and not os.environ.get("CI"):
        pytest.skip("no PgBouncer of 1.21 or later on this machine: bash .ci/pgbouncer")
    return able[-1]


def too_old() -> str:
    """A program that can't; the test is skipped if Debian's is newer."""
    unable = [program for version, program in installed().items() if version < PREPARES]
    if not unable:
        pytest.skip("no PgBouncer before 1.21 on this machine")
    return unable[0]


@dataclass(frozen=True)
class Pgbouncer:
    """A pooler in transaction mode. Everybody may use its admin console, as `admin`."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    @property
    def console_url(self) -> str:
        return self.url("admin", "pgbouncer")

    async def console(self, command: str) -> None:
        """Run a command of its admin console, for example `SET max_prepared_statements = 0`."""
        console = await asyncpg.connect(self.console_url)
        await console.execute(command)
        console.terminate()


@asynccontextmanager
async def pgbouncer(
    server: Server, folder: Path, program: str | None = None, **settings: object
) -> AsyncIterator[Pgbouncer]:
    """A pooler in front of the server, until the block ends: with these settings, the newest unless `program` says.

    It connects by the server's socket, unless the setting `databases` is another line of that section.
    """
    databases = settings.pop("databases", f"* = host={server.socket_dir}")
    pooler = Pgbouncer(int(str(settings.get("listen_port") or find_free_port())))
    (folder / "users.txt").write_text("".join(f'"{role}" ""\n' for role in ("admin", "zoo_api", "zoo_migrator")))
    configured = {
        "listen_addr": "127.0.0.1",
        "listen_port": pooler.port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": folder / "users.txt",
        "admin_users": "admin",
        "pool_mode": "transaction",
        **settings,
    }
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{databases}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in configured.items())
    )
    folder.chmod(0o755)
    command = [*as_caller(), program or newest(), str(folder / "pgbouncer.ini")]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env={"PATH": SBIN}, stderr=log) as process:
        try:
            async with asyncio.timeout(HANGS):
                # Its own word: another one at the same port would answer, too.
                while b" process up: " not in (folder / "log").read_bytes():
                    assert process.poll() is None, (folder / "log").read_text()
                    await asyncio.sleep(0.02)
            yield replace(pooler, process=process)
        finally:
            process.kill()
