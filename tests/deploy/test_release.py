"""deploy/release, as far as it gets without Docker; tests/stack/test_deploy_release.py has the rest."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("arguments", [[], [""], ["--now"], ["--dry-run"], ["0.4.0", "0.5.0"]], ids=str)
def test_without_one_release_nothing_begins(arguments: list[str]) -> None:
    command = [str(ROOT / "deploy" / "release"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 3
    assert done.stderr == "name a release: deploy/release [--swarm | --kubernetes] [--dry-run] RELEASE\n"


def run(step: str, platform: str, folder: Path, docker: str) -> "subprocess.CompletedProcess[str]":
    """A step of a platform, with a stand-in for Docker: the cases of a shell's `case`, by its arguments."""
    (folder / "docker").write_text(f"#!/bin/sh\ncase $* in\n{docker}\nesac\n")
    (folder / "docker").chmod(0o755)
    command = ["sh", "-euc", f"RELEASE=0.4.0 PROJECT=zoo; . deploy/{platform}.sh; {step}"]
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "READY_SECONDS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("tasks", ['echo "$(date +%N) Starting"', ":"], ids=["others each time", "none"])
def test_replicas_that_start_again_and_again_on_swarm_are_not_waited_for_without_end(
    tasks: str, tmp_path: Path
) -> None:
    docker = f'"service ps "*) {tasks} ;; *Replicas*) echo 2 ;; *Image*) echo zoo-api:0.4.0 ;; *) echo updating ;;'
    done = run("gets_ready zoo-api:0.4.0", "swarm", tmp_path, docker)
    assert (done.returncode, done.stderr) == (1, "")


def test_on_compose_the_exporter_is_replaced_too_and_nothing_that_it_or_the_migrator_depends_on(tmp_path: Path) -> None:
    docker = '*compose.service=exporter*) echo running 1a2b ;; "compose run "* | "compose up "*) echo "$*" >&2 ;;'
    said = run("read_config; migrator expand plan; keep", "compose", tmp_path, docker).stderr.splitlines()
    assert [line.split()[-1] for line in said] == ["plan", "exporter"]
    assert all("--no-deps" in line.split() for line in said)
