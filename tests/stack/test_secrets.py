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
    names = (*passwords, "TOKEN_SECRET", "S3_SECRET_ACCESS_KEY", "S3_ADMIN_SECRET_ACCESS_KEY")
    return {"ENVIRONMENT": "production", "SMTP_URL": "smtp://mail"} | {name: strong() for name in names} | settings


def login(stack: Stack, role: str, password: str) -> bool:
    """Whether the role can log in by the network with this password."""
    psql = ["psql", "--host=db", f"--username={role}", "--dbname=zoo", "--command=SELECT 1"]
    command = ["exec", "--no-TTY", "--env", f"PGPASSWORD={password}", "db", *psql]
    return stack.compose(*command, check=False).returncode == 0


def test_production_runs_on_secrets_from_files_as_editors_write_them(tmp_path: Path) -> None:
    override = tmp_path / "compose.yml"
    names = re.findall(r"^  (\w+): \{file: ", SECRETS_FILE.read_text(), re.MULTILINE)
    assert "token_secret" in names
    around = ["{}", "{}\n", "{}\r\n", "\ufeff{}\r\n", " \t{} \n\n"]
    for name, form in zip(names, cycle(around), strict=False):
        # Keys of S3 are letters and digits.
        secret = strong() if name.startswith("s3_") else f"{name}, {NASTY}"
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


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose settings are the .env of docs/operations.md."""
    example = re.search(r"```dotenv\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    assert example
    env = tmp_path_factory.mktemp("env") / ".env"
    env.write_bytes(example[1].replace("\n", "\r\n").encode())
    stack = Stack(env_file=env)
    with running(stack):
        yield stack


class TestLocal:
    def test_quoted_values_of_env_are_taken_as_they_are(self, local: Stack) -> None:
        assert local.get("/health/ready").status_code == 200
        page = (ROOT / "docs" / "operations.md").read_text()
        for role, name in (("zoo_api", "DATABASE_PASSWORD"), ("zoo_migrator", "MIGRATION_DATABASE_PASSWORD")):
            meant = re.search(rf"^\| `{name}` \| ``? ?(.+?) ?``? \|$", page, re.MULTILINE)
            assert meant
            assert login(local, role, meant[1])
            assert not login(local, role, f"{meant[1]}x")

    def test_a_password_in_a_url_is_the_password_and_no_default_replaces_it(self, local: Stack) -> None:
        meant = {
            "DATABASE_URL": ("zoo_api", "in the url: $1 #%@/:?&=+ é"),
            "MIGRATION_DATABASE_URL": ("zoo_migrator", "in the url, too: \\ ' \" `"),
        }
        urls = {}
        for name, (role, password) in meant.items():
            literal = password.replace("'", "''")
            local.sql("postgres", f"ALTER ROLE {role} PASSWORD '{literal}'")
            urls[name] = f"postgresql://{role}:{quote(password, safe='')}@db:5432/zoo"
        for others in ({}, {"DATABASE_PASSWORD": "another", "MIGRATION_DATABASE_PASSWORD": "another"}):
            with local.changed(**urls, **others):
                once = ["run", "--rm", "--no-TTY", "--no-deps"]
                assert "nothing to do" in local.compose(*once, "migrator").stderr
                local.compose(*once, "api", "python", "-m", "api", "seed")


class TestProduction:
    @pytest.mark.parametrize(
        ("service", "setting", "reason"),
        [
            ("db", {"POSTGRES_PASSWORD": ""}, "POSTGRES_PASSWORD is shorter than 16"),
            ("db", {"POSTGRES_PASSWORD": "postgres-postgres-postgres"}, "POSTGRES_PASSWORD repeats itself"),
            ("db", {"DATABASE_PASSWORD": "qwertyuiopasdfghjkl"}, "DATABASE_PASSWORD repeats itself, or follows"),
            ("migrator", {"MIGRATION_DATABASE_PASSWORD": ""}, "MIGRATION_DATABASE_PASSWORD is shorter than 16"),
            ("migrator", {"MIGRATION_DATABASE_PASSWORD": "a" * 30}, "MIGRATION_DATABASE_PASSWORD repeats itself"),
            (
                "migrator",
                {"MIGRATION_DATABASE_URL": "postgresql://zoo_migrator:zoo_migrator@db:5432/zoo"},
                "the password in MIGRATION_DATABASE_URL is shorter",
            ),
            ("api", {"DATABASE_PASSWORD": "zoo_api_zoo_api_zoo_api"}, "DATABASE_PASSWORD repeats itself"),
            ("api", {"TOKEN_SECRET": "1234567890" * 4}, "TOKEN_SECRET repeats itself"),
            ("api", {"TOKEN_SECRET": ""}, "TOKEN_SECRET is the default"),
            ("api", {"S3_SECRET_ACCESS_KEY": ""}, "S3_SECRET_ACCESS_KEY is shorter than 16"),
            ("storage", {"S3_SECRET_ACCESS_KEY": ""}, "S3_SECRET_ACCESS_KEY is shorter than 16"),
            ("storage", {"S3_ADMIN_SECRET_ACCESS_KEY": ""}, "S3_ADMIN_SECRET_ACCESS_KEY is shorter than 16"),
            ("storage", {"S3_ADMIN_SECRET_ACCESS_KEY": "a" * 30}, "S3_ADMIN_SECRET_ACCESS_KEY repeats itself"),
            ("buckets", {"S3_ADMIN_SECRET_ACCESS_KEY": ""}, "S3_SECRET_ACCESS_KEY is shorter than 16"),
        ],
    )
    def test_a_secret_that_can_be_guessed_is_refused_with_how_to_make_one(
        self,
        service: str,
        setting: dict[str, str],
        reason: str,
    ) -> None:
        stack = Stack()
        stack.environment |= good(**setting)
        try:
            done = stack.compose("run", "--rm", "--no-TTY", "--no-deps", service, check=False)
        finally:
            stack.compose("down", "--volumes")
        assert done.returncode == 3, done.stderr
        assert reason in done.stderr
        assert "openssl rand -base64 32" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_volume_keeps_its_passwords_until_the_roles_script_changes_them(self) -> None:
        with running(Stack()) as stack:
            stack.environment |= good()
            stack.compose("up", "--detach", "db")
            check = ["exec", "--no-TTY", "db", "/opt/zoo/healthy.sh"]
            stack.compose("exec", "--no-TTY", "db", "sh", "-c", "until pg_isready --host=127.0.0.1; do sleep 0.1; done")
            found = stack.compose(*check, check=False)
            assert found.returncode == 1
            assert "the superuser's password is not POSTGRES_PASSWORD\nmend it:" in found.stdout
            stack.compose("exec", "--no-TTY", "db", ROLES)
            stack.compose(*check)
            stack.compose("up", "--detach", "--wait")
            assert stack.get("/health/ready").status_code == 200
            for role in ("postgres", "zoo_api", "zoo_migrator"):
                assert not login(stack, role, role)
