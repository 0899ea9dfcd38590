"""Copies of this checkout, for tests that change it."""

import shutil
import subprocess
import tempfile
from collections.abc import Collection
from functools import cache
from pathlib import Path

from tests.python import OWN, ROOT


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
