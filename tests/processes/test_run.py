"""`make run` and similar commands, in a checkout of their own below a folder that only its owner may enter."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from local.storage import running_in
from tests.checkouts import copy_checkout, quicken
from tests.conftest import uncoloured
from tests.docs.documents import run_requests, section
from tests.ports import find_free_port
from tests.python import HANGS, ROOT, run

ADMIN, PASSWORD = "ngozi@zoo.example", "a giraffe in the rain"  # as in README.md


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return copy_checkout(tmp_path)


IN_THE_STORAGE = """
import asyncio
from api.external_services.s3 import S3
from api.settings import load_settings

async def main():
    s3 = S3(load_settings())
    await s3.put_public("a.webp", b"a picture", "image/webp")
    print(s3.public_url("a.webp"))
    await s3.close()

asyncio.run(main())
"""


def execute(checkout: Path, script: str) -> str:
    """Run a script as other shells run commands; what it prints."""
    (checkout / "script.py").write_text(script)
    command = [str(checkout / ".venv" / "bin" / "python"), "-m", "local", "exec", "script"]
    return subprocess.check_output(command, cwd=checkout, env={**os.environ, "DATABASE_URL": ""}, text=True).strip()


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=HANGS)


@contextmanager
def make_run(checkout: Path, port: int, end: signal.Signals = signal.SIGINT, **settings: str) -> Iterator[list[str]]:
    """`make run` until the block ends, then Ctrl-C, as from a terminal. Afterwards the list has what it printed."""
    printed: list[str] = []
    with (checkout / "output").open("w+") as output:
        process = subprocess.Popen(
            ["make", "run", f"PORT={port}"],
            cwd=checkout,
            env={**os.environ, "DATABASE_URL": "", "PYTHONUNBUFFERED": "1", **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            deadline = time.monotonic() + HANGS
            while not is_ready(port):
                assert process.poll() is None, (checkout / "output").read_text()
                assert time.monotonic() < deadline, (checkout / "output").read_text()
                time.sleep(0.1)
            yield printed
        finally:
            os.killpg(process.pid, end)
            process.wait(timeout=HANGS)
            printed += uncoloured((checkout / "output").read_text()).splitlines()


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", verify=False).status_code == 200
    except httpx.TransportError:
        return False


def processes_in(checkout: Path) -> list[str]:
    """The command lines of the processes that concern `checkout`."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(checkout) in line or str(process.info["cwd"]).startswith(str(checkout)):
            found.append(line)
    return found


def make(checkout: Path, *arguments: str, stdin: str = "") -> str:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = ["make", "--silent", *arguments]
    return subprocess.check_output(command, cwd=checkout, env=environment, text=True, input=stdin)


def line_of(path: str, printed: list[str]) -> str:
    """The line of the only request to this path, where each thing is said once."""
    assert sum("Application startup complete." in line for line in printed) == 1
    assert not any("127.0.0.1:" in line and "HTTP/1.1" in line for line in printed)  # uvicorn's own
    (line,) = (line for line in printed if path in line)
    assert "request_id" in line
    return line


def test_serves_a_seeded_zoo_as_documented_stops_altogether_and_goes_on_from_there_also_if_it_is_killed(
    checkout: Path, free_port: int
) -> None:
    address = f"http://127.0.0.1:{free_port}"
    quicken(checkout)
    with make_run(checkout, free_port, LOG_FORMAT="text") as printed:
        assert len(get(f"{address}/exhibits").json()) == 8
        # Other commands use the database that is being served.
        made = make(checkout, "user", f"EMAIL={ADMIN}", "TYPE=admin", stdin=PASSWORD)
        assert made == "ngozi@zoo.example is a user of type admin\n"
        requests = section(checkout / "README.md", "### Without Docker")
        requests += (checkout / "docs" / "photos.md").read_text()
        shown = json.loads(run_requests(requests, address, checkout))
        assert shown
        photo = get(shown["small"])
        assert photo.headers["Content-Type"] == "image/webp"
        (checkout / "new.csv").write_text("name\nFrom a file\n")
        assert make(checkout, "import", "RESOURCE=exhibits", "FILE=new.csv") == "1 exhibits loaded\n"
        form = {"username": ADMIN, "password": PASSWORD}
        signed_in = httpx.post(f"{address}/auth/jwt/login", data=form, timeout=HANGS)
        headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        newcomer = httpx.post(f"{address}/animals", json={"name": "Newcomer"}, headers=headers, timeout=HANGS)
        made = newcomer.headers["Location"]
        get(f"{address}{made}")
        stored = execute(checkout, IN_THE_STORAGE)
        assert get(stored).content == b"a picture"
    assert "8 exhibits, 69 animals, 14 staff loaded" in printed
    assert any(f"{address}/docs" in line for line in printed)
    assert not line_of(made, printed).startswith("{")
    assert processes_in(checkout) == []

    # By its own Python: where a quick one is killed, what was forked goes on.
    shutil.rmtree(checkout / ".venv")
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    with make_run(checkout, free_port, signal.SIGKILL, LOG_FORMAT="json") as printed:
        assert get(f"{address}{made}").json()["name"] == "Newcomer"
        storage = running_in(checkout / ".data" / "storage")
        assert storage is not None
        assert get(storage.url + httpx.URL(stored).path).content == b"a picture"
        require_that_a_second_one_says_where_it_is(checkout, free_port)
    assert line_of(made, printed).startswith("{")
    assert "The zoo is not empty: nothing loaded" in printed
    deadline = time.monotonic() + HANGS
    while processes_in(checkout):
        assert time.monotonic() < deadline, processes_in(checkout)
        time.sleep(0.1)

    # What it left behind does no harm. Where a storage is set, there is none of its own.
    quicken(checkout)
    buckets = {"S3_BUCKET": "private", "S3_PUBLIC_BUCKET": "public"}
    keys = {"S3_ACCESS_KEY_ID": "key", "S3_SECRET_ACCESS_KEY": "secret"}
    with make_run(checkout, free_port, signal.SIGINT, S3_URL="http://storage.invalid", **buckets, **keys):
        assert get(f"{address}{made}").json()["name"] == "Newcomer"
        assert not any("weed" in line for line in processes_in(checkout))
    assert checkout.stat().st_mode & 0o777 == 0o700  # no permissions were added


def require_that_a_second_one_says_where_it_is(checkout: Path, port: int) -> None:
    for another in (port, find_free_port()):
        second = subprocess.run(
            ["make", "run", f"PORT={another}"], cwd=checkout, capture_output=True, text=True, check=False
        )
        assert second.returncode != 0
        where = f"`make run` for http://127.0.0.1:{port} is at work in {checkout / '.data'}"
        assert second.stderr.splitlines()[0] == f"error: {where}: end it first"


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["json.tool", "--help"], "json.tool"),
        (["json.tool", "--sort-keys", "--help"], "json.tool"),
        (["--help"], "Run a Python module"),
    ],
)
def test_help_is_that_of_the_command_that_it_follows(arguments: list[str], about: str) -> None:
    done = run("local", "exec", *arguments, env=os.environ | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"})
    assert done.returncode == 0, done.stderr
    assert about in done.stdout
    assert ("local exec" in done.stdout) == (arguments == ["--help"])


def test_a_port_that_is_taken_is_said_in_one_line(checkout: Path, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        refused = subprocess.run(
            ["make", "run", f"PORT={free_port}"], cwd=checkout, capture_output=True, text=True, check=False
        )
    assert refused.returncode != 0
    assert (
        f"error: port {free_port}: Address already in use; choose another: make run PORT={free_port + 1}"
        in refused.stderr
    )


WHERE = """
import asyncio, asyncpg, os

async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    print(await connection.fetchval("SELECT $1::text", os.environ["DATABASE_URL"].partition("host=")[2]))
    await connection.close()

asyncio.run(main())
"""


def test_make_postgres_serves_other_shells_until_ctrl_c(checkout: Path) -> None:
    with subprocess.Popen(
        ["make", "--no-print-directory", "postgres"], cwd=checkout, stdout=subprocess.PIPE, text=True,
        start_new_session=True, env={**os.environ, "DATABASE_URL": "", "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            assert said == f"Postgres is running: postgresql://postgres@/zoo?host={execute(checkout, WHERE)}\n"
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=HANGS)
    assert processes_in(checkout) == []
