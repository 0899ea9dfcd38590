"""A checkout has the line ends that the scripts need, however Git is configured."""

import subprocess
from pathlib import Path

from tests.checkouts import clone


def test_git_that_writes_windows_line_ends_writes_none_here(tmp_path: Path) -> None:
    origin, checkout = clone(tmp_path / "origin"), tmp_path / "checkout"
    options = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    subprocess.run(["git", *options, "clone", "--quiet", origin, checkout], check=True)
    listed = subprocess.check_output(["git", "ls-files", "--eol"], cwd=checkout, text=True).splitlines()
    assert "deploy/postgres/10-roles.sh" in [line.split("\t")[1] for line in listed]
    assert [line for line in listed if "w/crlf" in line or "w/mixed" in line] == []
