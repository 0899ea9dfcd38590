"""deploy/release, as far as it gets without Docker; tests/stack/test_deploy_release.py has the rest."""

import subprocess

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("arguments", [[], [""], ["--now"], ["--dry-run"], ["0.4.0", "0.5.0"]], ids=str)
def test_without_one_release_nothing_begins(arguments: list[str]) -> None:
    command = [str(ROOT / "deploy" / "release"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 3
    assert done.stderr == "name a release: deploy/release [--swarm | --kubernetes] [--dry-run] RELEASE\n"
