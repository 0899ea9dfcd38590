"""SeaweedFS from a wheel, as a child process: an S3 for `make run` and the tests, never for production.

It listens on 127.0.0.1 only, where other users of the machine can reach it, and ends when the caller does.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from urllib.request import urlopen

from local.ports import free_ports
from local.postgres import die_with_parent

HOST = "127.0.0.1"
ENTRYPOINT = Path(__file__).parent.parent / "deploy" / "storage" / "entrypoint.sh"
SECRETS = ENTRYPOINT.parent.parent / "postgres"  # where the shell functions are that read them
START_SECONDS = 60
RUNNING, STATE = "running", "state.json"
# Each of its parts has a port, and one for gRPC. One that is not named would be the usual one, in all checkouts.
PORTS = [f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc")]


class StorageError(Exception):
    """The server did not start. The message says what to do."""


@dataclass(frozen=True)
class Storage:
    """A server: the ports of its parts, and the secrets of its two users."""

    ports: dict[str, int]
    secret: str
    admin_secret: str

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.ports['s3.port']}"

    def environment(self) -> dict[str, str]:
        """What the api needs to use it."""
        return {
            "S3_URL": self.url,
            "S3_BUCKET": "zoo-private",
            "S3_PUBLIC_BUCKET": "zoo-public",
            "S3_ACCESS_KEY_ID": "zoo_api",
            "S3_SECRET_ACCESS_KEY": self.secret,
        }

    def admin_environment(self) -> dict[str, str]:
        """What `python -m api buckets` needs to prepare it."""
        return self.environment() | {"S3_ACCESS_KEY_ID": "zoo_admin", "S3_SECRET_ACCESS_KEY": self.admin_secret}

    def is_ready(self) -> bool:
        """Whether it answers."""
        with suppress(OSError), urlopen(f"{self.url}/healthz", timeout=1):  # noqa: S310 - http
            return True
        return False

    def remove_sockets(self) -> None:
        """Remove what it makes in /tmp, whatever it is told, and leaves there."""
        for name, port in self.ports.items():
            Path(f"/tmp/seaweedfs-{name.removesuffix('.port.grpc')}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108


class Started:
    """A server that was started in a folder; wait() returns how to use it."""

    def __init__(self, folder: Path, options: dict[str, str]) -> None:
        self._folder, self._options = folder, options
        self._log = folder.with_name(f"{folder.name}.log")
        self._start()

    def _start(self) -> None:
        """Start it on ports that nobody listens on: wait() sees whether others were quicker than the server."""
        for remembered in (self._folder / "data").glob("m[0-9]*"):  # the ports of an earlier server, by its master
            shutil.rmtree(remembered)
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._storage = Storage(ports, secrets.token_hex(20), secrets.token_hex(20))
        (self._folder / RUNNING / STATE).write_text(json.dumps(asdict(self._storage)))
        named = _options(self._folder, self._storage) | self._options
        with self._log.open("ab") as output:
            self._begins = output.tell()
            self._process = subprocess.Popen(
                ["sh", ENTRYPOINT, *(f"-{name}={value}" for name, value in named.items())],
                cwd=self._folder / RUNNING,
                env=_environment(self._storage),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C goes to the caller only, which stops its own work first
                preexec_fn=partial(die_with_parent, signal.SIGKILL),
            )

    def wait(self) -> Storage:
        """Wait until it answers, some seconds. StorageError if it does not."""
        deadline = time.monotonic() + START_SECONDS
        while not self._storage.is_ready():
            is_late = time.monotonic() > deadline
            if is_late or self._process.poll() is not None:
                said = self._log.read_bytes()[self._begins :].decode(errors="replace")
                if is_late or "address already in use" not in said:
                    tail = "\n".join(said.splitlines()[-5:])
                    raise StorageError(f"the embedded storage did not start; the end of {self._log}:\n{tail}")
                self._storage.remove_sockets()
                self._start()
            time.sleep(0.05)
        return self._storage

    def kill(self) -> None:
        """End it at once: asked to stop, it takes 15 s. What it has acknowledged is in the folder."""
        self._process.kill()
        self._process.wait()
        self._storage.remove_sockets()


@contextmanager
def serve(folder: Path, options: dict[str, str] | None = None) -> Iterator[Started]:
    """Run a server in `folder` (created if missing) until the block ends; `options` are more of SeaweedFS's own."""
    if left := _state(folder):
        left.remove_sockets()
    running = folder / RUNNING
    shutil.rmtree(running, ignore_errors=True)
    running.mkdir(parents=True, mode=0o700)
    (folder / "data").mkdir(exist_ok=True)
    started = Started(folder, options or {})
    try:
        yield started
    finally:
        started.kill()
        shutil.rmtree(running)


def running_in(folder: Path) -> Storage | None:
    """The server that another process runs in `folder`, if there is one."""
    found = _state(folder)
    return found if found and found.is_ready() else None


def _state(folder: Path) -> Storage | None:
    try:
        return Storage(**json.loads((folder / RUNNING / STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _options(folder: Path, storage: Storage) -> dict[str, str]:
    sockets = {"filer.localSocket": "filer.sock", "s3.localSocket": "s3.sock"}
    ports = {name: str(port) for name, port in storage.ports.items()}
    alone = {"master.peers": "none"}  # or it would look for others for a second and a half
    return {"dir": str(folder.absolute() / "data"), **alone, **sockets, **ports}


def _environment(storage: Storage) -> dict[str, str]:
    admin = storage.admin_environment()
    own = {
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "ENVIRONMENT": "local",
        "SECRETS": str(SECRETS),
        "STORAGE_CONFIG": "s3.json",
        "S3_ADMIN_ACCESS_KEY_ID": admin["S3_ACCESS_KEY_ID"],
        "S3_ADMIN_SECRET_ACCESS_KEY": admin["S3_SECRET_ACCESS_KEY"],
    }
    return os.environ | storage.environment() | own
