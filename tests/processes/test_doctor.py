"""`make doctor`: each thing that can be missing is made so, and the command that it names mends it."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkouts import clone
from tests.ports import find_free_port
from tests.processes.test_install import OLDEST, pythons

NO_DOCKER = "Docker is not installed, and only `make run` needs none"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make it so")


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PATH with the machine's commands, but no Docker and no Python."""
    folder = tmp_path_factory.mktemp("bin")
    for path in [*Path("/usr/bin").iterdir(), *Path("/bin").iterdir(), *Path("/usr/sbin").iterdir()]:
        if not path.name.startswith(("docker", "python")) and not (folder / path.name).is_symlink():
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return clone(tmp_path / "checkout")


@pytest.fixture
def doctor(checkout: Path, commands: Path, tmp_path: Path, free_port: int) -> Callable[..., dict[str, str]]:
    """Runs `make doctor`: what it found, and how each is mended. Python and the port are as they should be."""
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "python3").symlink_to(pythons()[max(pythons())])

    def run(*before: str, path: str = f"{tmp_path / 'python'}:{commands}", port: int = free_port) -> dict[str, str]:
        ports = {"API_PORT": str(port), "STORAGE_PORT": str(find_free_port())}
        environment = {"PATH": path, "HOME": str(tmp_path), **ports}
        command = [*before, "make", "--silent", "doctor"]
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        found = re.findall(r"^(\S.*)\n    (\S.*)$", done.stdout, re.MULTILINE)
        assert len(found) * 2 == len(done.stdout.splitlines()), done.stdout + done.stderr
        assert all(line.startswith("make: ***") for line in done.stderr.splitlines()), done.stderr
        assert done.returncode == (2 if found else 0)  # make's code for a recipe that failed
        return dict(found)

    return run


def crlf(checkout: Path) -> None:
    for name in subprocess.check_output(["git", "ls-files"], cwd=checkout, text=True).splitlines():
        path = checkout / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def secrets_for_their_owner_alone(checkout: Path) -> None:
    (checkout / "secrets").mkdir(mode=0o700)
    (checkout / "secrets" / "password").touch(mode=0o600)


def a_download_without_modes(checkout: Path) -> None:
    for path in checkout.rglob("*.sh"):
        path.chmod(0o644)


def env_of_windows(checkout: Path) -> None:
    (checkout / ".env").write_bytes(b"ENVIRONMENT=local\r\n")


def a_python_that_is_gone(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to("/nowhere/python3.11")


def a_moved_checkout(checkout: Path) -> None:
    python = pythons()[max(pythons())]
    subprocess.run([python, "-m", "venv", "--without-pip", checkout.parent / "elsewhere"], check=True)
    (checkout.parent / "elsewhere").rename(checkout / ".venv")


def data_of_another_user(checkout: Path) -> None:
    (checkout / ".data" / "postgres").mkdir(parents=True)
    os.chown(checkout / ".data" / "postgres", 12345, 12345)


def test_where_nothing_is_missing_it_finds_nothing(doctor: Callable[..., dict[str, str]]) -> None:
    assert doctor() == {NO_DOCKER: "https://docs.docker.com/engine/install/"}


@pytest.mark.parametrize(
    ("make_it_so", "found"),
    [
        (crlf, r"lines end in CRLF, with which scripts don't run: Makefile .*"),
        (secrets_for_their_owner_alone, r"user 10001, as which the containers run, can't read secrets/password"),
        (a_download_without_modes, r"not executable: .*local/install\.sh.*"),
        (env_of_windows, r"lines of \.env end in CRLF"),
        (a_python_that_is_gone, r"the Python of \.venv is gone or does not fit"),
        (a_moved_checkout, r"\.venv was made as \S+/elsewhere, and its commands use that folder"),
    ],
)
def test_what_is_wrong_is_one_line_and_the_next_mends_it(
    doctor: Callable[..., dict[str, str]], checkout: Path, make_it_so: Callable[[Path], None], found: str
) -> None:
    make_it_so(checkout)
    (fault, how), *others = [each for each in doctor().items() if each[0] != NO_DOCKER]
    assert re.fullmatch(found, fault)
    assert others == []
    how = how.replace("make install", "true")  # tests/processes/test_install.py does that
    subprocess.run(["bash", "-c", how], cwd=checkout, check=True)
    assert doctor().keys() == {NO_DOCKER}


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ("ENVIRONMENT=local\nAPI_PROT=9000\n", ".env sets what is no setting: API_PROT"),
        (
            "# all is well\n\nexport LOG_FORMAT=text\nRELEASE = 1.0.0\nWEB_CONCURRENCY: 2\nCOMPOSE_PROJECT_NAME=x\n",
            None,
        ),
        ("ENVIRONMENT=local\nproduction\n", ".env has lines that are no NAME=VALUE: 2"),
    ],
)
def test_an_env_file_that_says_something_else(
    doctor: Callable[..., dict[str, str]], checkout: Path, env: str, found: str | None
) -> None:
    (checkout / ".env").write_text(env)
    assert doctor().keys() == {NO_DOCKER} | ({found} if found else set())


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_port_in_use_is_named_with_who_uses_it(doctor: Callable[..., dict[str, str]], address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family, dualstack_ipv6=":" in address) as listening:
        port = listening.getsockname()[1]
        found = doctor(port=port)
    (fault,) = found.keys() - {NO_DOCKER}
    assert fault.startswith(f"port {port} is in use by process {os.getpid()}, ")
    assert found[fault].endswith(f"make run PORT={port + 1}, or API_PORT={port + 1} make up")


def test_the_port_is_that_of_the_env_file(doctor: Callable[..., dict[str, str]], checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (checkout / ".env").write_text(f"API_PORT='{port}'\n")
        assert any(fault.startswith(f"port {port} is") for fault in doctor("env", "-u", "API_PORT"))


def test_the_storages_port_is_looked_at_too(doctor: Callable[..., dict[str, str]], checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        (checkout / ".env").write_text(f"STORAGE_PORT={port}\n")
        found = doctor("env", "-u", "STORAGE_PORT")
    (fault,) = (fault for fault in found if fault.startswith(f"port {port} is"))
    assert found[fault].endswith("STORAGE_PORT in .env")


def test_no_python_or_one_that_is_too_old(
    doctor: Callable[..., dict[str, str]], commands: Path, tmp_path: Path
) -> None:
    assert "this needs Python 3.11 to 3.14, but finds none: install one, from python.org or as python3.13" in doctor(
        path=str(commands)
    )
    old = [program for version, program in pythons().items() if version < OLDEST]
    if not old:
        pytest.skip("no Python on this machine is too old")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "python3").symlink_to(old[0])
    found = doctor(path=f"{tmp_path / 'old'}:{commands}")
    assert any(fault.startswith("this needs Python 3.11 to 3.14, but finds Python") for fault in found)


def test_a_python_without_venv(doctor: Callable[..., dict[str, str]], commands: Path, tmp_path: Path) -> None:
    """Debian's python3 has none without the package python3-venv."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "venv.py").write_text("raise ImportError\n")
    python = tmp_path / "without" / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={python.parent} exec {tmp_path / "python" / "python3"} "$@"\n')
    python.chmod(0o755)
    assert doctor(path=f"{python.parent}:{commands}")["python3 has no venv or no pip"] == "apt-get install python3-venv"


@as_root
def test_data_of_another_user(doctor: Callable[..., dict[str, str]], checkout: Path) -> None:
    data_of_another_user(checkout)
    assert "owned by another user: .data/postgres" in doctor()


@as_root
def test_root_without_setpriv(doctor: Callable[..., dict[str, str]], commands: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    shutil.copytree(commands, few, symlinks=True)
    (few / "setpriv").unlink()
    found = doctor(path=f"{tmp_path / 'python'}:{few}")
    assert found["root needs setpriv, because Postgres refuses to run as root"] == "apt-get install util-linux"


@as_root
def test_a_full_disk_and_little_memory(doctor: Callable[..., dict[str, str]], checkout: Path, tmp_path: Path) -> None:
    """In a mount namespace of their own: a small disk, and what Linux says of its memory."""
    (tmp_path / "meminfo").write_text("MemTotal: 900000 kB\nMemAvailable: 409600 kB\n")
    mount = f"""
        mount -t tmpfs -o size=64m none {tmp_path}/python && cp -a {checkout} {tmp_path}/python/
        mount --bind {tmp_path}/meminfo /proc/meminfo
        cd {tmp_path}/python/checkout && exec "$@"
    """
    python = f"{Path(pythons()[max(pythons())]).parent}:/usr/bin:/bin"
    found = doctor("unshare", "--mount", "sh", "-ec", mount, "sh", path=python)
    assert "400 MB of memory are free, and 1000 are needed" in found
    assert any(re.fullmatch(r"\d\d MB are free on the disk of \S+, and 2000 are needed", fault) for fault in found)
