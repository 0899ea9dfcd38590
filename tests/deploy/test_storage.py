"""The storage's entry: which keys it takes, and what it tells SeaweedFS. A command that shows it stands in for that."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

STRONG = "b3VyIHNlY3JldCBpcyBzdHJvbmcgZW5vdWdo"
SETTINGS = {
    "S3_BUCKET": "zoo-private",
    "S3_PUBLIC_BUCKET": "zoo-public",
    "S3_ACCESS_KEY_ID": "zoo_api",
    "S3_ADMIN_ACCESS_KEY_ID": "zoo_admin",
    "S3_SECRET_ACCESS_KEY": "zoo_api",
    "S3_ADMIN_SECRET_ACCESS_KEY": "zoo_admin",
}


def start(folder: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run the entry with these settings; it prints the arguments that SeaweedFS gets, and secrets, if there are any."""
    (folder / "weed").write_text('#!/bin/sh\nprintf "%s\\n" "$@"; env | grep SECRET_ACCESS\nexit 0\n')
    (folder / "weed").chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SECRETS": str(ROOT / "deploy" / "postgres"),
        "STORAGE_CONFIG": str(folder / "s3.json"),
        **SETTINGS,
        **settings,
    }
    command = ["sh", ROOT / "deploy" / "storage" / "entrypoint.sh", "-dir=/data"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def configured(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "s3.json").read_text())
    return found


def test_it_sends_no_statistics_and_opens_only_s3s_own_port_to_others(tmp_path: Path) -> None:
    started = start(tmp_path).stdout.splitlines()

    assert {"-master.telemetry=false", "-ip.bind=127.0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0"} <= set(started)
    assert started[-1] == "-dir=/data"
    assert not [line for line in started if "SECRET" in line]


def test_its_keys_are_for_its_user_only_and_the_apis_has_the_policy_with_the_buckets_names(tmp_path: Path) -> None:
    start(tmp_path, S3_BUCKET="one", S3_PUBLIC_BUCKET="two")

    api, admin = configured(tmp_path)["identities"]
    policy = json.loads(configured(tmp_path)["policies"][0]["content"])
    assert (api["policyNames"], "actions" in api, admin["actions"]) == (["api"], False, ["Admin"])
    assert {resource for statement in policy["Statement"] for resource in statement["Resource"]} == {
        "arn:aws:s3:::one",
        "arn:aws:s3:::one/*",
        "arn:aws:s3:::two",
        "arn:aws:s3:::two/*",
    }
    assert (tmp_path / "s3.json").stat().st_mode & 0o777 == 0o600


def test_a_secret_is_taken_from_a_file_too_as_editors_write_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"\ufeff {STRONG}\r\n")

    file = {"S3_SECRET_ACCESS_KEY": "", "S3_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret")}
    started = start(tmp_path, **file)

    assert started.returncode == 0, started.stderr
    assert [user["credentials"][0]["secretKey"] for user in configured(tmp_path)["identities"]] == [STRONG, "zoo_admin"]


@pytest.mark.parametrize("name", ["S3_SECRET_ACCESS_KEY", "S3_ADMIN_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "is not set"),
        ("zoo_api", "is shorter than 16"),
        ("secretsecretsecretsecret", "repeats itself"),
        ("a b3VyIHNlY3JldCBpcyBzd", "has other characters"),
        ('"b3VyIHNlY3JldCBpcyBzdH"', "has other characters"),
        ("b3VyIHNl$Y3JldCBpcyBzdH", "has other characters"),
    ],
)
def test_production_refuses_secrets_that_can_be_guessed(tmp_path: Path, name: str, secret: str, said: str) -> None:
    strong = {"S3_SECRET_ACCESS_KEY": STRONG, "S3_ADMIN_SECRET_ACCESS_KEY": STRONG[::-1]}
    assert start(tmp_path, ENVIRONMENT="production", **strong).returncode == 0

    refused = start(tmp_path, ENVIRONMENT="production", **(strong | {name: secret}))

    assert refused.returncode == 3
    assert refused.stderr.splitlines()[0].startswith(f"{name} {said}")
    assert "openssl rand -base64 32" in refused.stderr
    assert not refused.stdout


@pytest.mark.parametrize("name", ["S3_ACCESS_KEY_ID", "S3_ADMIN_ACCESS_KEY_ID", "S3_BUCKET", "S3_PUBLIC_BUCKET"])
@pytest.mark.parametrize("value", ["", 'a"b', "a/b", "a b", "a\nb"])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str, value: str) -> None:
    refused = start(tmp_path, **{name: value})

    assert refused.returncode == 3
    assert refused.stderr.splitlines()[0] == f"{name} has to be letters, digits, _ and -"
