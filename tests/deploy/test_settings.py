"""Each platform's files pass every setting on, or it is said here why not."""

import re
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

import alembic_online.settings
import api.settings
from tests.conftest import ROOT
from tests.deploy.kubernetes import build, pods

# Where a setting is not passed on, and why.
OF_THE_IMAGE = "the image has it"
FIXED = "containers listen where Compose, Swarm and Kubernetes expect it"
NOT_PASSED = {
    "compose": {
        "api": {"PORT": FIXED, "RELEASE": OF_THE_IMAGE, "S3_BACKUP_BUCKET": "only `buckets` makes it"},
        "migrator": {},
    },
    "swarm": {
        "api": {
            "PORT": FIXED,
            "RELEASE": OF_THE_IMAGE,
            "SEED": "production is never seeded",
            "S3_BACKUP_BUCKET": "backups are Compose's",
        },
        "migrator": {},
    },
}
FILES = {
    "compose": ["docker-compose.yml"],
    "swarm": [f"deploy/swarm/{name}.yml" for name in ("stack", "s3", "pgbouncer")],
}
SETTINGS: dict[str, type[BaseSettings]] = {"api": api.settings.Settings, "migrator": alembic_online.settings.Settings}


def services(file: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())["services"]
    return found


@pytest.mark.parametrize("service", SETTINGS)
@pytest.mark.parametrize("platform", FILES)
def test_every_setting_is_passed_on(platform: str, service: str) -> None:
    named: set[str] = set()
    for file in FILES[platform]:
        found = services(file).get(service, {})
        named |= found.get("environment", {}).keys() | {secret.upper() for secret in found.get("secrets", [])}
    wanted = {name.upper() for name in SETTINGS[service].model_fields}
    assert wanted - named == NOT_PASSED[platform][service].keys()


@pytest.mark.parametrize("service", SETTINGS)
def test_swarms_defaults_are_composes_but_for_what_production_needs(service: str) -> None:
    def defaults(file: str) -> dict[str, str]:
        environment = services(file)[service]["environment"]
        return {name: re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", str(value)) for name, value in environment.items()}

    swarm, compose = defaults("deploy/swarm/stack.yml"), defaults("docker-compose.yml")
    differing = {name for name in swarm.keys() & compose.keys() if swarm[name] != compose[name]}
    of_the_storage = {name for name in differing if name.startswith("S3_")}  # Compose has one
    own = {
        "api": {"ENVIRONMENT", "FORWARDED_ALLOW_IPS"},
        "migrator": {"ENVIRONMENT", "MIGRATOR_PHASE", "MIGRATOR_WAIT_SECONDS"},
    }
    assert differing - of_the_storage == own[service]


def test_on_kubernetes_every_setting_of_a_config_map_is_passed_on() -> None:
    for pod in pods(build("production")):
        if pod.owner["kind"] in {"Deployment", "Job"}:
            [program] = pod.spec["containers"]
            [source] = program["envFrom"]
            assert source["configMapRef"]["name"].startswith("zoo-")
