"""Copies of this checkout, for tests that change it."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path

from tests.python import OWN, ROOT, forking_socket


def linked_checkout(target: Path, own: Collection[str] = ()) -> Path:
    """What a migrator and an api need of this checkout: its revisions, links to its packages, and copies of `own`."""
    target.mkdir(parents=True, exist_ok=True)
    for package in (*OWN, "deploy"):  # where gunicorn's configuration is
        if package in own:
            shutil.copytree(ROOT / package, target / package)
        else:
            (target / package).symlink_to(ROOT / package)
    shutil.copytree(ROOT / "migrator", target / "migrator")
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def copy_checkout(target: Path) -> Path:
    """A clone, with this checkout's virtual environment and compiled modules."""
    clone(target)
    (target / ".venv").symlink_to(ROOT / ".venv")
    packages = (*OWN, "local", "migrator")
    for compiled in (found for package in packages for found in (ROOT / package).rglob("__pycache__")):
        shutil.copytree(compiled, target / compiled.relative_to(ROOT))
    return target


FORKED = """\
#!{python} -IS
import sys
if sys.argv[1:] == ["-c", ""]:  # as make asks whether there is a Python
    sys.exit()
import json, os, signal, socket
if sys.argv[1:2] != ["-m"] or sys.argv[2].partition(".")[0] not in {modules}:
    os.execv("{venv}/bin/python", ["{venv}/bin/python", *sys.argv[1:]])
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect("{socket}")
    job = {{"arguments": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ)}}
    job["executable"] = os.path.abspath(__file__)
    passed_on = [signal.SIGINT, signal.SIGTERM]
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)  # also those that come before it is known whom to
    socket.send_fds(server, [json.dumps(job).encode()], [0, 1, 2])
    started = int(server.recv(100))
    for number in passed_on:
        signal.signal(number, lambda number, _: os.killpg(started, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    code = int(server.recv(100) or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""
MODULES = {*OWN, "alembic", "local", "uvicorn"}


def quick_checkout(target: Path) -> Path:
    """The same, for many commands: with a quick Python."""
    return quicken(copy_checkout(target))


def quicken(checkout: Path) -> Path:
    """Have its commands use a quick Python, on Linux."""
    if sys.platform != "linux":
        return checkout
    venv = checkout / ".venv"
    venv.unlink()
    (venv / "bin").mkdir(parents=True)
    for folder in (Path(), Path("bin")):
        for path in (ROOT / ".venv" / folder).iterdir():
            if path.name not in {"bin", "python"}:
                (venv / folder / path.name).symlink_to(path)
    write_quick_python(venv / "bin" / "python")
    return checkout


def write_quick_python(path: Path) -> None:
    """A Python that has those of MODULES forked from a process that has imported the libraries."""
    path.write_text(FORKED.format(python=sys.executable, modules=MODULES, venv=ROOT / ".venv", socket=forking_socket()))
    path.chmod(0o755)


def clone(target: Path) -> Path:
    """This checkout's files, in a repository of their own."""
    subprocess.run(["cp", "--recursive", "--preserve=timestamps", f"{_cloned()}/.", target], check=True)
    return target


@cache
def _cloned() -> Path:
    """A clone that stays as it is: copying it takes a seventh of the CPU of making it."""
    target = Path(tempfile.mkdtemp(prefix="zoo-clone-")) / "clone"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@zoo.example"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "copy"]):
        subprocess.run([*git, *command], cwd=target, check=True)
    return target
