"""A real nginx in front of the api, which serves it below a path."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import find_free_port
from tests.python import HANGS

SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin"
# The address from which it connects to the api: not that of clients that bypass it.
ADDRESS = "127.0.0.2"

CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    scgi_temp_path {folder};
    uwsgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port};
        proxy_bind {address};
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        {locations}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, locations: Mapping[str, str]) -> Iterator[str]:
    """The address of an nginx with these locations, until the block ends."""
    if shutil.which("nginx", path=SBIN) is None and not os.environ.get("CI"):
        pytest.skip("no nginx on this machine")
    port = find_free_port()
    blocks = "\n".join(f"location {path} {{ {what} }}" for path, what in locations.items())
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, address=ADDRESS, locations=blocks))
    command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(configuration)]
    with subprocess.Popen(command, env={"PATH": SBIN}, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + HANGS
            while not _listens(port):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
