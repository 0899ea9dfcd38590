"""The Compose files, as `docker compose` reads them: together, and with each other's services."""

import json
import os
import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path
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
    ("secrets", "replicas"),
    ("secrets", "s3", "managed", "replicas"),
    ("read-replica", "replicas"),
    ("observe",),
]
SETTINGS = {"DATABASE_URL": "postgresql://zoo_api@db/zoo", "MIGRATION_DATABASE_URL": "postgresql://zoo_migrator@db/zoo"}

PROGRAMS = ("api", "api-2", "migrator", "exporter", "seed")
SECRET = ("PASSWORD", "TOKEN_SECRET", "SECRET_ACCESS_KEY", "POOLER_URL")


def config(*files: str, **settings: str) -> dict[str, Any]:
    """The services with all profiles, as `make down` has them, with which all names have to be there."""
    if not shutil.which("docker"):
        if os.environ.get("CI"):
            pytest.fail("no docker compose, and CI needs it")
        pytest.skip("no docker compose")
    named = ["docker-compose.yml", *(f"docker-compose.{name}.yml" for name in files)]
    command = ["docker", "compose", "--profile", "*", *chain(*(("--file", name) for name in named)), "config"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **SETTINGS, **settings}
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
        for name, service in services.items():
            set_to = {setting: value for setting, value in service.get("environment", {}).items() if value}
            assert not [setting for setting in set_to if setting.endswith(SECRET)], name
        assert all(services[name]["secrets"] for name in PROGRAMS)
    if "managed" in files:
        assert not {"db", "pgbouncer"} & services.keys()
        assert all("database_ca" in str(services[name]["secrets"]) for name in PROGRAMS)


@pytest.mark.parametrize("files", [("secrets", "s3", "managed"), ("secrets", "read-replica", "observe")], ids=" ".join)
def test_the_replicas_of_the_api_are_alike_with_all_files(files: tuple[str, ...]) -> None:
    services = config(*files, "replicas")
    assert services["api"] == services["api-2"]
    assert "profiles" not in services["api-2"]


@pytest.mark.parametrize("where", ["in the environment", "in .env"])
def test_browsers_are_sent_to_the_port_that_the_storage_has(where: str, tmp_path: Path) -> None:
    if where == "in .env":
        example = (ROOT / ".env.example").read_text()
        (tmp_path / ".env").write_text(example.replace("STORAGE_PORT=8333", "STORAGE_PORT=9444"))
        services = config(COMPOSE_ENV_FILES=str(tmp_path / ".env"))
    else:
        services = config(STORAGE_PORT="9444")
    assert services["storage"]["ports"][0]["published"] == "9444"
    assert services["api"]["environment"]["S3_UPLOAD_URL"] == "http://127.0.0.1:9444"


@pytest.mark.parametrize("service", ["api", "migrator"])
def test_what_an_image_is_made_of_is_watched(service: str) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = re.findall(rf"^FROM \S+ AS (?:build-)?{service}\n(.*?)(?=^FROM |\Z)", dockerfile, re.MULTILINE | re.DOTALL)
    copied = [line.split()[1:-1] for stage in stages for line in re.findall(r"^COPY (?!--).*", stage, re.MULTILINE)]
    watch = yaml.safe_load((ROOT / "docker-compose.watch.yml").read_text())["services"][service]["develop"]["watch"]
    not_watched = {path for paths in copied for path in paths} - {rule["path"] for rule in watch}
    assert not_watched == ({"seed"} if service == "api" else set())  # the seed service has run, and does not again
