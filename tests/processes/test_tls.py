"""A Postgres that demands TLS, with a certificate of its own CA, as managed ones do."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from api.main import create_app
from api.settings import Settings
from local.postgres import (
    DATABASE,
    OTHER_BINARIES,
    ROLES_SCRIPT,
    SUPERUSER,
    UNPRIVILEGED_ID,
    as_caller,
    binaries,
    serve,
)
from stack_settings import connect, read_url
from tests.authority import DAY, Authority
from tests.conftest import FAST_AND_FORGETFUL, alembic, started
from tests.ports import find_free_port

WITH_TLS = Path("/usr/lib/postgresql")  # Debian's; the embedded one is built without
PASSPHRASE = "correct horse"
HBA = """\
local all all trust
hostssl all certified all cert
hostssl all all all trust
"""


@dataclass(frozen=True)
class Managed:
    """The server, which the roles reach by TLS only; its certificate can be changed while it runs."""

    folder: Path
    port: int
    own: Authority
    other: Authority
    socket_dir: Path

    def url(self, role: str, parameters: str = "") -> str:
        return f"postgresql://{role}@localhost:{self.port}/{DATABASE}?{parameters}"

    def verified_by(self, authority: Authority) -> str:
        return f"sslmode=verify-full&sslrootcert={authority.path}"

    async def superuser(self, database: str = "postgres") -> asyncpg.Connection:
        return await asyncpg.connect(host=str(self.socket_dir), port=self.port, user=SUPERUSER, database=database)

    def put(self, certificate: tuple[Path, Path]) -> None:
        """Its certificate, and the key, which only Postgres may read."""
        for path, name in zip(certificate, ("server.crt", "server.key"), strict=True):
            (self.folder / name).write_bytes(path.read_bytes())
            (self.folder / name).chmod(0o600)
            if os.geteuid() == 0:
                os.chown(self.folder / name, UNPRIVILEGED_ID, UNPRIVILEGED_ID)

    async def use(self, certificate: tuple[Path, Path]) -> None:
        """Have it show another certificate from now on."""
        self.put(certificate)
        connection = await self.superuser()
        loaded = await connection.fetchval("SELECT pg_conf_load_time()")
        await connection.execute("SELECT pg_reload_conf()")
        while await connection.fetchval("SELECT pg_conf_load_time()") == loaded:
            await asyncio.sleep(0.02)
        await connection.close()


@pytest.fixture(scope="module")
async def tls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Managed]:
    programs = sorted(WITH_TLS.glob("*/bin"))
    if not programs:
        if os.environ.get("CI"):
            pytest.fail("no Postgres with TLS is installed, and CI needs one")
        pytest.skip("no Postgres with TLS is installed")
    folder = tmp_path_factory.mktemp("tls")
    own, other, port = Authority(folder, "own"), Authority(folder, "other"), find_free_port()
    (folder / "hba").write_text(HBA)
    options = {name: value for name, value in FAST_AND_FORGETFUL.items() if name != "io_method"} | {
        "listen_addresses": "localhost", "port": str(port), "hba_file": str(folder / "hba"), "ssl": "on",
        "ssl_ca_file": str(own.path), "ssl_cert_file": f"{folder}/server.crt", "ssl_key_file": f"{folder}/server.key",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OTHER_BINARIES, str(programs[-1]))
        Managed(folder, port, own, other, folder).put(own.give("right", "localhost"))
        with serve(folder / "data", options) as server:
            managed = Managed(folder, port, own, other, server.socket_dir)
            await create_database(managed)
            yield managed


async def create_database(managed: Managed) -> None:
    connection = await managed.superuser()
    await connection.execute("CREATE ROLE certified LOGIN")
    await connection.execute(f"CREATE DATABASE {DATABASE}")
    await connection.execute(f"GRANT ALL ON DATABASE {DATABASE} TO certified")
    await connection.close()
    env = {
        "PATH": f"{binaries()}:{os.environ['PATH']}", "PGHOST": str(managed.socket_dir), "PGPORT": str(managed.port),
        "POSTGRES_USER": SUPERUSER, "POSTGRES_DB": DATABASE,
        "DATABASE_PASSWORD": "unused", "MIGRATION_DATABASE_PASSWORD": "unused",
    }  # fmt: skip
    subprocess.run([*as_caller(), ROLES_SCRIPT], env=env, check=True, capture_output=True)
    code, printed = migrate(managed.url("zoo_migrator", managed.verified_by(managed.own)))
    assert code == 0, printed


def migrate(url: str) -> tuple[int, str]:
    """The exit code of the migrator, and what it says."""
    done = alembic({"MIGRATION_DATABASE_URL": url}, "upgrade", "head")
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


async def api_answers(url: str) -> int:
    """The status with which the api answers a read."""
    async with started(create_app(Settings(database_url=url))) as client:
        return (await client.get("/animals")).status_code


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        "sslmode=require",
        "sslmode=verify-ca&sslrootcert={own}",
        "sslmode=verify-full&sslrootcert={own}&channel_binding=require",
    ],
)
async def test_the_right_server_is_used(tls: Managed, parameters: str) -> None:
    parameters = parameters.format(own=tls.own.path)
    assert migrate(tls.url("zoo_migrator", parameters))[0] == 0
    assert await api_answers(tls.url("zoo_api", parameters)) == 200


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("sslmode=verify-full&sslrootcert={other}", "self-signed certificate in certificate chain"),
        ("sslmode=verify-ca&sslrootcert={other}", "self-signed certificate in certificate chain"),
        ("sslmode=require&sslrootcert={other}", "self-signed certificate in certificate chain"),
        ("sslrootcert=system", "self-signed certificate in certificate chain"),
        ("sslmode=disable", "no encryption"),
    ],
)
async def test_a_server_that_is_not_proven_to_be_the_right_one_is_not_used(
    tls: Managed, parameters: str, said: str
) -> None:
    parameters = parameters.format(other=tls.other.path)
    code, printed = migrate(tls.url("zoo_migrator", parameters))
    assert code == 4
    assert said in printed
    assert "a revision" not in printed
    assert await api_answers(tls.url("zoo_api", parameters)) == 503


@pytest.mark.parametrize(
    ("host", "valid", "said"),
    [("elsewhere.example", DAY, "Hostname mismatch"), ("localhost", -DAY, "certificate has expired")],
)
async def test_a_certificate_that_is_not_valid_for_the_host_or_no_longer_is_refused(
    tls: Managed, host: str, valid: timedelta, said: str
) -> None:
    await tls.use(tls.own.give("wrong", host, valid))
    try:
        code, printed = migrate(tls.url("zoo_migrator", tls.verified_by(tls.own)))
        answer = await api_answers(tls.url("zoo_api", tls.verified_by(tls.own)))
    finally:
        await tls.use(tls.own.give("right", "localhost"))
    assert (code, answer) == (4, 503)
    assert said in printed


@pytest.mark.parametrize(("by", "passphrase", "code"), [("own", "", 0), ("own", PASSPHRASE, 0), ("other", "", 1)])
async def test_a_client_proves_itself_by_a_certificate(tls: Managed, by: str, passphrase: str, code: int) -> None:
    certificate, key = getattr(tls, by).give("certified", "", passphrase=passphrase)
    parameters = f"{tls.verified_by(tls.own)}&sslcert={certificate}&sslkey={key}"
    url = read_url(tls.url("certified", f"{parameters}&sslpassword={quote(passphrase)}"))
    if code:
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await connect(url, timeout=5, defaults={}, settings={})
    else:
        connection = await connect(url, timeout=5, defaults={}, settings={})
        assert await connection.fetchval("SELECT current_user") == "certified"
        await connection.close()
    if passphrase:
        with pytest.raises(ValueError, match="it needs another sslpassword"):
            read_url(tls.url("certified", f"{parameters}&sslpassword=wrong"))


async def test_a_client_without_the_certificate_that_is_demanded_is_refused_in_a_line(tls: Managed) -> None:
    code, printed = migrate(tls.url("certified", tls.verified_by(tls.own)))
    assert code == 4
    assert "certificate" in printed


async def test_a_silent_server_is_noticed_as_the_url_says(tls: Managed) -> None:
    quiet = {"keepalives_idle": 2, "tcp_user_timeout": 5000}
    url = read_url(tls.url("zoo_api", "keepalives_idle=31&keepalives_count=4"))
    connection = await connect(url, timeout=5, defaults={}, settings={}, quiet=quiet)
    used = connection._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg does not show it otherwise
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    found = [used.getsockopt(socket.IPPROTO_TCP, option) for option in options]
    await connection.close()
    assert found == [31, 4, 5000]
