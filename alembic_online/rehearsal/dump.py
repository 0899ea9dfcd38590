"""The schema of a database, as pg_dump writes it.

Guarantee: what is compared, and copied into the scratch database, is what Postgres's own tool writes, not our own
selection. The password is passed in the environment, never as an argument.
"""

import asyncio
import os
import re
import shutil
from dataclasses import dataclass

import postgast

from alembic_online.errors import ConfigurationError
from alembic_online.runs import history
from stack_settings import DatabaseUrl

# The migrator's own tables, which no revision creates.
OWN_TABLES = ("alembic_version", *history.OWN_TABLES)
PRE_DATA, POST_DATA = "pre-data", "post-data"
OPTIONS = (
    "--no-owner",  # the migrator owns everything: it can't create objects for other roles
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--lock-wait-timeout=5000",  # milliseconds; sessions that wait block others behind them
)
# psql's own commands, with a key that differs each time.
PSQL = re.compile(r"^\\(?:un)?restrict .*$", re.MULTILINE)
COMMENTS = re.compile(r"\A(?:\s*--[^\n]*\n|\s+)*")
VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True)
class PgDump:
    """A pg_dump that can read the server."""

    path: str

    async def section(self, url: DatabaseUrl, section: str, snapshot: str) -> list[str]:
        """The statements that create one section of the schema of `url`, as of an exported snapshot."""
        return await self._statements(url, f"--section={section}", f"--snapshot={snapshot}")

    async def schema(self, url: DatabaseUrl) -> list[str]:
        """The statements that create the schema of `url`, without the migrator's own tables."""
        return await self._statements(
            url, "--schema-only", *(f"--exclude-table=public.{table}" for table in OWN_TABLES)
        )

    async def _statements(self, url: DatabaseUrl, *options: str) -> list[str]:
        if "sslpassword" in url.parameters:
            raise ConfigurationError(
                "a rehearsal can't tell pg_dump the sslpassword: others could read it; use a key without one"
            )
        command = [self.path, *OPTIONS, *options, f"--dbname={url.without_secrets()}"]
        password = {} if url.password is None else {"PGPASSWORD": url.password}
        script = await _run(command, os.environ | password)
        return [COMMENTS.sub("", statement) for statement in postgast.split(PSQL.sub("", script))]


async def find_pg_dump(server_major: int) -> PgDump:
    """The pg_dump in PATH; ConfigurationError if there is none, or if it is older than the server."""
    path = shutil.which("pg_dump")
    needs = f"a rehearsal copies the schema with pg_dump {server_major} or newer"
    install = f"install PostgreSQL's client programs (postgresql-client-{server_major}), first in PATH"
    if path is None:
        raise ConfigurationError(f"{needs}, but there is none in PATH: {install}")
    printed = await _run([path, "--version"], os.environ)
    version = VERSION.search(printed)
    if version is None or int(version[1]) < server_major:
        raise ConfigurationError(f"{needs}, but {path} is {printed.strip()}: {install}")
    return PgDump(path)


async def _run(command: list[str], environment: "os._Environ[str] | dict[str, str]") -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    try:
        printed, said = await process.communicate()
    finally:
        if process.returncode is None:  # this task was cancelled
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ConfigurationError(f"pg_dump failed: {said.decode(errors='replace').strip()}")
    return printed.decode()
