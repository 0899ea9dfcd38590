"""The Compose files, as `docker compose` reads them: together, and with each other's services."""

import json
import os
import re
import shutil
import subprocess
from itertools import chain
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

# What follows docker-compose.yml.
TOGETHER = [
    (),
    ("secrets",),
    ("managed",),
    ("secrets", "managed"),
    ("secrets", "s3", "managed", "replicas"),
    ("observe",),
]
SETTINGS = {"DATABASE_URL": "postgresql://zoo_api@db/zoo", "MIGRATION_DATABASE_URL": "postgresql://zoo_migrator@db/zoo"}

SECRET = ("PASSWORD", "TOKEN_SECRET")


def config(*files: str) -> dict[str, Any]:
    """The services with all profiles, as `make down` has them, with which all names have to be there."""
    if not shutil.which("docker"):
        if os.environ.get("CI"):
            pytest.fail("no docker compose, and CI needs it")
        pytest.skip("no docker compose")
    named = ["docker-compose.yml", *(f"docker-compose.{name}.yml" for name in files)]
    command = ["docker", "compose", "--profile", "*", *chain(*(("--file", name) for name in named)), "config"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **SETTINGS}
    done = subprocess.run(
        [*command, "--format", "json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


@pytest.mark.parametrize("files", TOGETHER, ids=" ".join)
def test_files_go_together_and_secrets_are_in_no_environment(files: tuple[str, ...]) -> None:
    services = config(*files)
    if "secrets" in files:
        for name in {"api", "migrator", "exporter", "db", "pgbouncer"} & services.keys():
            assert not [setting for setting in services[name]["environment"] if setting.endswith(SECRET)], name
            assert services[name]["secrets"]
    if "managed" in files:
        assert not {"db", "pgbouncer"} & services.keys()
        assert all("database_ca" in str(services[name]["secrets"]) for name in ("api", "migrator", "exporter"))


@pytest.mark.parametrize("service", ["api", "migrator"])
def test_what_an_image_is_made_of_is_watched(service: str) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = re.findall(rf"^FROM \S+ AS (?:build-)?{service}\n(.*?)(?=^FROM |\Z)", dockerfile, re.MULTILINE | re.DOTALL)
    copied = [line.split()[1:-1] for stage in stages for line in re.findall(r"^COPY (?!--).*", stage, re.MULTILINE)]
    watch = yaml.safe_load((ROOT / "docker-compose.watch.yml").read_text())["services"][service]["develop"]["watch"]
    not_watched = {path for paths in copied for path in paths} - {rule["path"] for rule in watch}
    assert not_watched == ({"seed"} if service == "api" else set())  # the seed service has run, and does not again
