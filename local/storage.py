"""SeaweedFS from a wheel, as a child process: an S3 for `make run` and the tests, never for production.

It listens on 127.0.0.1 only, and ends when the caller does.
"""

import os
import secrets
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from local.postgres import die_with_parent

HOST = "127.0.0.1"
ENTRYPOINT = Path(__file__).parent.parent / "deploy" / "storage" / "entrypoint.sh"
SECRETS = ENTRYPOINT.parent.parent / "postgres"
START_SECONDS = 60
# Each of its parts has a port, and one for gRPC; one that is not named would be the usual one of all checkouts.
PORTS = [f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer") for kind in ("", ".grpc")]


class StorageError(Exception):
    """The server did not start. The message says what to do."""


@dataclass(frozen=True)
class Storage:
    """A server that answers at `url`, and its users' keys."""

    url: str
    bucket: str = "zoo-private"
    public_bucket: str = "zoo-public"
    secret: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    admin_secret: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)

    def environment(self) -> dict[str, str]:
        """What the api needs to use it."""
        return {
            "S3_URL": self.url,
            "S3_BUCKET": self.bucket,
            "S3_PUBLIC_BUCKET": self.public_bucket,
            "S3_ACCESS_KEY_ID": "zoo-api",
            "S3_SECRET_ACCESS_KEY": self.secret,
        }

    def admin_environment(self) -> dict[str, str]:
        """What `python -m api buckets` needs to prepare it."""
        admin = {"S3_ACCESS_KEY_ID": "zoo-admin", "S3_SECRET_ACCESS_KEY": self.admin_secret}
        return self.environment() | admin


@contextmanager
def serve(data: Path) -> Iterator[Storage]:
    """Run a server on the folder `data` (created if missing) until the block ends. StorageError if it does not start.

    It is killed at the end: asked to stop, it takes 15 s. What it has acknowledged is in the folder.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = data.parent / f"{data.name}.log"
    with tempfile.TemporaryDirectory(prefix="zoo-s3-") as folder:
        ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        storage = Storage(f"http://{HOST}:{ports['s3.port']}")
        options = {
            "dir": str(data),
            "master.dir": folder,  # it remembers ports, which are others the next time; the rest is in the data
            **{name: str(port) for name, port in ports.items()},
            **{f"{part}.localSocket": f"{folder}/{part}" for part in ("filer", "s3")},
        }
        admin = storage.admin_environment()
        env = (
            os.environ
            | storage.environment()
            | {
                "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
                "ENVIRONMENT": "local",
                "SECRETS": str(SECRETS),
                "STORAGE_CONFIG": f"{folder}/s3.json",
                "S3_ADMIN_ACCESS_KEY_ID": admin["S3_ACCESS_KEY_ID"],
                "S3_ADMIN_SECRET_ACCESS_KEY": admin["S3_SECRET_ACCESS_KEY"],
            }
        )
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["sh", ENTRYPOINT, *(f"-{name}={value}" for name, value in options.items())],
                cwd=folder,  # where it looks for other configurations
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C goes to the caller only, which stops its own work first
                preexec_fn=partial(die_with_parent, signal.SIGKILL),
            )
        try:
            _wait(process, storage.url, log)
            yield storage
        finally:
            process.kill()
            process.wait()
            for name, port in ports.items():  # it makes these, whatever it is told, and leaves them behind
                if name.endswith(".grpc"):
                    Path(f"/tmp/seaweedfs-{name.partition('.')[0]}-grpc-{port}.sock").unlink(missing_ok=True)  # noqa: S108


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urlopen(f"{url}/healthz", timeout=1):  # noqa: S310 - http
                return
        except (URLError, OSError):
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise StorageError(f"the embedded storage did not start; the end of {log}:\n{tail}")
        time.sleep(0.05)
