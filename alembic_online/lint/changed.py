"""Which files a branch has changed, according to git."""

import subprocess
from pathlib import Path

from alembic_online.errors import ConfigurationError


def changed_since(base: str, folder: Path) -> set[Path]:
    """The files in `folder` that changed since the branch left `base`: committed, not committed, or untracked.

    ConfigurationError if git can't tell.
    """
    (fork,) = _git(folder, "merge-base", base, "HEAD")
    names = [
        *_git(folder, "diff", "--name-only", "--no-renames", "--diff-filter=d", "--relative", "-z", fork),
        *_git(folder, "ls-files", "--others", "--exclude-standard", "-z"),
    ]
    return {(folder / name).resolve() for name in names}


def _git(folder: Path, *arguments: str) -> list[str]:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell is in it
    except FileNotFoundError as error:
        raise ConfigurationError("git is missing: it tells what a branch has changed") from error
    if done.returncode != 0:
        raise ConfigurationError(
            f"git can't tell what has changed ({done.stderr.strip() or 'there is no common commit'}): name a branch or "
            "commit that exists here, and fetch its history"
        )
    return [name for name in done.stdout.replace("\n", "\0").split("\0") if name]
