"""The entry of the pooler's image: which users it makes of the secrets, and which secrets it refuses."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import asyncpg
import pytest

from local.postgres import Server, as_caller
from tests.authority import Authority
from tests.conftest import ROOT
from tests.ports import find_free_port
from tests.processes.pgbouncer import newest

GOOD = "kT4vX9qLw2ZrB7nJ"


def prepare(folder: Path, program: str) -> dict[str, str]:
    """The entry's files, with a program in place of PgBouncer; and what the environment has to have."""
    for path in ("pgbouncer/entrypoint.sh", "postgres/secrets.sh", "postgres/weakness.awk"):
        shutil.copy(ROOT / "deploy" / path, folder)
    (folder / "pgbouncer").write_text(f"#!/bin/sh\n{program}\n")
    (folder / "pgbouncer").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)}


def entry(folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run it with a program in place of PgBouncer that shows its users."""
    environment = prepare(folder, 'cat "$(sed -n "s/^auth_file = //p" "$1")"') | settings
    command = ["sh", str(folder / "entrypoint.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_knows_the_api_and_who_may_use_its_console_by_their_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('\ufeffa "b" \\c\n')
    done = entry(tmp_path, DATABASE_PASSWORD_FILE=str(tmp_path / "secret"), POOLER_PASSWORD="console")
    assert done.stdout == '"zoo_api" "a ""b"" \\c"\n"zoo_pooler" "console"\n'
    assert (tmp_path / "users.txt").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["DATABASE_PASSWORD", "POOLER_PASSWORD"])
def test_production_refuses_what_can_be_guessed(tmp_path: Path, name: str) -> None:
    good = {"DATABASE_PASSWORD": GOOD, "POOLER_PASSWORD": GOOD, "ENVIRONMENT": "production"}
    assert entry(tmp_path, **good).returncode == 0
    done = entry(tmp_path, **good | {name: "zoo_api"})
    assert done.returncode == 3
    assert done.stderr.startswith(f"{name} is shorter than 16 characters")


async def test_with_a_certificate_clients_have_to_use_tls(server: Server, tmp_path: Path) -> None:
    """By the real PgBouncer, at another port."""
    port, authority = find_free_port(), Authority(tmp_path, "ca")
    certificate, key = authority.give("pooler", "localhost")
    settings = prepare(tmp_path, f'sed -i "s/6432/{port}/" "$1" && exec {newest()} "$1"') | {
        "DATABASE_HOST": str(server.socket_dir),
        "DATABASE_PASSWORD": GOOD,
        "POOLER_PASSWORD": GOOD,
        "POOLER_CERT_FILE": str(certificate),
        "POOLER_KEY_FILE": str(key),
    }
    tmp_path.chmod(0o777)
    key.chmod(0o644)
    login = f"postgresql://zoo_api:{GOOD}@localhost:{port}/postgres"

    async def connect(parameters: str) -> None:
        connection = await asyncpg.connect(f"{login}?{parameters}", statement_cache_size=0)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    with subprocess.Popen([*as_caller(), "sh", str(tmp_path / "entrypoint.sh")], env=settings) as process:
        try:
            async with asyncio.timeout(30):
                while True:
                    try:
                        await connect(f"sslmode=verify-full&sslrootcert={authority.path}")
                        break
                    except ConnectionError:
                        assert process.poll() is None
                        await asyncio.sleep(0.05)
            with pytest.raises(asyncpg.PostgresError, match="SSL required"):
                await connect("sslmode=disable")
        finally:
            process.kill()
