"""A real PgBouncer between a test and Postgres."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server, as_caller
from tests.conftest import find_free_port

SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin"


@dataclass(frozen=True)
class Pgbouncer:
    """A pooler in transaction mode, with one connection to each database."""

    port: int

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"


@asynccontextmanager
async def pgbouncer(server: Server, folder: Path) -> AsyncIterator[Pgbouncer]:
    """A pooler in front of the server, until the block ends. Everybody may use its admin console as `admin`."""
    if shutil.which("pgbouncer", path=SBIN) is None and not os.environ.get("CI"):
        pytest.skip("no PgBouncer on this machine")
    pooler = Pgbouncer(find_free_port())
    (folder / "users.txt").write_text('"admin" ""\n"zoo_api" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.socket_dir}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {pooler.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users.txt\n"
        "admin_users = admin\npool_mode = transaction\ndefault_pool_size = 1\n"
    )
    folder.chmod(0o755)
    command = [*as_caller(), "pgbouncer", str(folder / "pgbouncer.ini")]
    with subprocess.Popen(command, env={"PATH": SBIN}, stderr=subprocess.DEVNULL) as process:
        try:
            async with asyncio.timeout(10):
                while not await _answers(pooler):
                    assert process.poll() is None
                    await asyncio.sleep(0.02)
            yield pooler
        finally:
            process.kill()


async def _answers(pooler: Pgbouncer) -> bool:
    try:
        console = await asyncpg.connect(pooler.url("admin", "pgbouncer"))
    except OSError:
        return False
    console.terminate()
    return True
