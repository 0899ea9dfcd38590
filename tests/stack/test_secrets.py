"""Secrets as people have them: in files, in .env, in URLs; and what production refuses."""

import base64
import json
import re
import secrets
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.conftest import ROOT
from tests.stack.stack import Stack, docker, running

ROLES = "/docker-entrypoint-initdb.d/10-roles.sh"
SECRETS_FILE = ROOT / "docker-compose.secrets.yml"
SERVICES = ("db", "migrator", "storage", "buckets", "api")
NASTY = "16 and more: $HOME ${x} #%@/:?&=+ \"d\" 'q' `b` \\n é雪"


def strong() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def good(**settings: str) -> dict[str, str]:
    """Settings that production accepts, but for those that are given."""
    passwords = ("POSTGRES_PASSWORD", "DATABASE_PASSWORD", "MIGRATION_DATABASE_PASSWORD")
    names = (*passwords, "S3_SECRET_ACCESS_KEY", "S3_ADMIN_SECRET_ACCESS_KEY")
    settings = {"TOKEN_SECRET": strong(), "SMTP_URL": "smtp://mail"} | settings
    return {"ENVIRONMENT": "production"} | {name: strong() for name in names} | settings


def login(stack: Stack, role: str, password: str) -> bool:
    """Whether the role can log in by the network with this password."""
    psql = ["psql", "--host=db", f"--username={role}", "--dbname=zoo", "--command=SELECT 1"]
    return stack.exec("db", *psql, check=False, PGPASSWORD=password).returncode == 0


def test_production_runs_on_secrets_from_files_as_editors_write_them(tmp_path: Path) -> None:
    override = tmp_path / "compose.yml"
    names = re.findall(r"^  (\w+): \{file: ", SECRETS_FILE.read_text(), re.MULTILINE)
    assert "database_password" in names
    around = ["{}", "{}\n", "{}\r\n", "\ufeff{}\r\n", " \t{} \n\n"]
    for name, form in zip(names, cycle(around), strict=False):
        # Keys of S3 are letters and digits.
        secret = strong() if name.startswith("s3_") else f"{name}, {NASTY}"
        if name == "migrator_pooler_url":  # there is no pooler
            secret = ""
        (tmp_path / name).write_bytes(form.format(secret).encode())
    override.write_text(json.dumps({"secrets": {name: {"file": str(tmp_path / name)} for name in names}}))
    stack = Stack(SECRETS_FILE, override, ENVIRONMENT="production", SMTP_URL="smtp://zoo@mail")
    with running(stack):
        assert stack.get("/health/ready").status_code == 200
        assert login(stack, "postgres", f"postgres_password, {NASTY}")
        shown = docker("inspect", *(stack.container(service) for service in SERVICES))
        assert "16 and more" not in shown
        # A file that the container's user can't read is named; nothing is started without it.
        (tmp_path / "database_password").chmod(0o600)
        refused = stack.compose("run", "--rm", "--no-TTY", "--no-deps", "api", check=False)
        assert refused.returncode == 3
        assert "/run/secrets/database_password: Permission denied" in refused.stderr
        assert "Traceback" not in refused.stderr


class TestLocal:
    def test_quoted_values_of_env_are_taken_as_they_are(self, elsewhere: Stack) -> None:
        assert elsewhere.get("/health/ready").status_code == 200
        page = (ROOT / "docs" / "operations.md").read_text()
        for role, name in (("zoo_api", "DATABASE_PASSWORD"), ("zoo_migrator", "MIGRATION_DATABASE_PASSWORD")):
            meant = re.search(rf"^\| `{name}` \| ``? ?(.+?) ?``? \|$", page, re.MULTILINE)
            assert meant
            assert login(elsewhere, role, meant[1])
            assert not login(elsewhere, role, f"{meant[1]}x")

    def test_a_password_in_a_url_is_the_password_and_no_default_replaces_it(self, elsewhere: Stack) -> None:
        meant = {
            "DATABASE_URL": ("zoo_api", "in the url: $1 #%@/:?&=+ é"),
            "MIGRATION_DATABASE_URL": ("zoo_migrator", "in the url, too: \\ ' \" `"),
        }
        urls = {}
        for name, (role, password) in meant.items():
            literal = password.replace("'", "''")
            elsewhere.sql("postgres", f"ALTER ROLE {role} PASSWORD '{literal}'")
            urls[name] = f"postgresql://{role}:{quote(password, safe='')}@db:5432/zoo"
        try:
            with elsewhere.changed(**urls, DATABASE_PASSWORD="another", MIGRATION_DATABASE_PASSWORD="another"):
                once = ["run", "--rm", "--no-TTY", "--no-deps"]
                assert "nothing to do" in elsewhere.compose(*once, "migrator").stderr
                assert "name" in elsewhere.compose(*once, "api", "python", "-m", "api", "export", "animals").stdout
        finally:
            elsewhere.exec("db", ROLES)


@pytest.fixture(scope="module")
def production(images: list[str]) -> Iterator[Stack]:  # noqa: ARG001 - built before
    """A stack of which nothing runs."""
    stack = Stack()
    yield stack
    stack.compose("down", "--volumes")


class TestProduction:
    @pytest.mark.parametrize(
        ("service", "settings", "reasons"),
        [
            (
                "db",
                {"POSTGRES_PASSWORD": "", "DATABASE_PASSWORD": "qwertyuiopasdfghjkl"},
                ["POSTGRES_PASSWORD is shorter than 16", "DATABASE_PASSWORD repeats itself, or follows"],
            ),
            (
                "migrator",
                {"MIGRATION_DATABASE_URL": "postgresql://zoo_migrator:zoo_migrator@db:5432/zoo"},
                ["the password in MIGRATION_DATABASE_URL is shorter"],
            ),
            ("migrator", {"MIGRATION_DATABASE_PASSWORD": ""}, ["MIGRATION_DATABASE_PASSWORD is shorter than 16"]),
            (
                "api",
                {"DATABASE_PASSWORD": "zoo_api" * 3, "TOKEN_SECRET": "", "S3_SECRET_ACCESS_KEY": ""},
                ["DATABASE_PASSWORD repeats", "TOKEN_SECRET is the default", "S3_SECRET_ACCESS_KEY is shorter"],
            ),
            (
                "storage",
                {"S3_SECRET_ACCESS_KEY": "", "S3_ADMIN_SECRET_ACCESS_KEY": "a" * 30},
                ["S3_SECRET_ACCESS_KEY is shorter than 16", "S3_ADMIN_SECRET_ACCESS_KEY repeats itself"],
            ),
            ("buckets", {"S3_ADMIN_SECRET_ACCESS_KEY": ""}, ["S3_SECRET_ACCESS_KEY is shorter than 16"]),
        ],
    )
    def test_secrets_that_can_be_guessed_are_refused_with_how_to_make_one(
        self,
        production: Stack,
        service: str,
        settings: dict[str, str],
        reasons: list[str],
    ) -> None:
        with production.changed(**good(**settings)):
            done = production.compose("run", "--rm", "--no-TTY", "--no-deps", service, check=False)
        assert done.returncode == 3, done.stderr
        assert [reason for reason in reasons if reason not in done.stderr] == []
        assert "openssl rand -base64 32" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_volume_keeps_its_passwords_until_the_roles_script_changes_them(self, bare_stack: Stack) -> None:
        stack, check = bare_stack, "/opt/zoo/healthy.sh"
        with stack.changed(**good(S3_SECRET_ACCESS_KEY="")):  # it has no storage
            stack.compose("up", "--detach", "db")
            stack.exec("db", "sh", "-c", "until pg_isready --host=127.0.0.1; do sleep 0.1; done")
            found = stack.exec("db", check, check=False)
            assert found.returncode == 1
            assert "the superuser's password is not POSTGRES_PASSWORD\nmend it:" in found.stdout
            stack.exec("db", ROLES)
            stack.exec("db", check)
            stack.compose("up", "--detach", "--wait")
            assert stack.get("/health/ready").status_code == 200
            for role in ("postgres", "zoo_api", "zoo_migrator"):
                assert not login(stack, role, role)
