"""Secrets as people have them: in files, in .env, in URLs; and what production refuses."""

import re
from pathlib import Path
from urllib.parse import quote

from tests.conftest import ROOT
from tests.stack.secret_files import NASTY, strong
from tests.stack.stack import Stack, docker

ROLES = "/docker-entrypoint-initdb.d/10-roles.sh"
SERVICES = ("db", "migrator", "storage", "buckets", "api", "api-2")


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


def test_production_runs_on_secrets_from_files_as_editors_write_them(replicas: Stack, secret_files: Path) -> None:
    assert login(replicas, "postgres", f"postgres_password, {NASTY}")
    shown = docker("inspect", *(replicas.container(service) for service in SERVICES))
    assert "16 and more" not in shown
    # A file that the container's user can't read is named; nothing is started without it.
    unreadable = secret_files / "database_password"
    unreadable.chmod(0o600)
    refused = replicas.compose("run", "--rm", "--no-TTY", "--no-deps", "api", check=False)
    unreadable.chmod(0o644)
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


class TestProduction:
    def test_secrets_that_can_be_guessed_are_refused_with_how_to_make_one(self, tmp_path: Path) -> None:
        reasons = {
            "db": ["POSTGRES_PASSWORD is shorter than 16", "DATABASE_PASSWORD repeats itself, or follows"],
            "migrator": ["the password in MIGRATION_DATABASE_URL is shorter"],
            "api": ["DATABASE_PASSWORD repeats", "TOKEN_SECRET is the default", "S3_SECRET_ACCESS_KEY is shorter"],
            "storage": ["S3_SECRET_ACCESS_KEY is shorter than 16", "S3_ADMIN_SECRET_ACCESS_KEY repeats itself"],
            "buckets": ["S3_SECRET_ACCESS_KEY repeats itself"],  # with the admin's
        }
        once = tmp_path / "compose.yml"
        alone = "{restart: 'no', depends_on: !reset {}}"
        once.write_text("services:\n" + "".join(f"  {service}: {alone}\n" for service in reasons))
        guessed = good(
            POSTGRES_PASSWORD="",
            DATABASE_PASSWORD="qwertyuiopasdfghjkl",
            MIGRATION_DATABASE_URL="postgresql://zoo_migrator:zoo_migrator@db:5432/zoo",
            TOKEN_SECRET="",
            S3_SECRET_ACCESS_KEY="",
            S3_ADMIN_SECRET_ACCESS_KEY="a" * 30,
        )
        stack = Stack(once)
        stack.environment |= guessed
        try:
            stack.compose("up", "--detach", "--no-deps", *reasons)
            assert docker("wait", *map(stack.container, reasons)) == "3\n" * len(reasons)
            for service, expected in reasons.items():
                said = stack.logs(service)
                assert [reason for reason in expected if reason not in said] == []
                assert "openssl rand -base64 32" in said
                assert "Traceback" not in said
        finally:
            stack.compose("down", "--volumes", "--timeout", "0")

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
