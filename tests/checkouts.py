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


QUICK_PYTHON = """\
#!{python} -IS
import os, sys
if sys.argv[1:] == ["-c", ""]:  # as make asks whether there is a Python
    sys.exit()
sys.path.append("{tests}")
import forked
if sys.argv[1:2] == ["-m"] and sys.argv[2].partition(".")[0] in {modules}:
    forked.run("{socket}", __file__, sys.argv[2:])
os.execv("{venv}/bin/python", ["{venv}/bin/python", *sys.argv[1:]])
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
    paths = {"python": sys.executable, "tests": ROOT / "tests", "venv": ROOT / ".venv", "socket": forking_socket()}
    path.write_text(QUICK_PYTHON.format(modules=MODULES, **paths))
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
