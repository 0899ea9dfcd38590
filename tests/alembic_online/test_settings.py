"""Settings of the migrator: where they come from, and what production refuses."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from alembic_online.errors import ConfigurationError
from alembic_online.settings import Settings, load_settings
from tests.each import each

GOOD = "correct horse battery staple"
URL = "postgresql://zoo_migrator@db/zoo"


def test_no_database_is_migrated_by_default() -> None:
    with pytest.raises(ConfigurationError, match="MIGRATION_DATABASE_URL is not set"):
        Settings().database()


def test_a_secret_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "migration_database_password").write_text(f"{GOOD}\n")
    assert Settings(_secrets_dir=tmp_path, migration_database_url=URL).database().password == GOOD


@pytest.mark.parametrize("given", ["of the setting", "", None])
def test_a_password_in_the_url_is_the_password(given: str | None) -> None:
    url = "postgresql://zoo_migrator:a%24b%23%20%C3%A9@db/zoo"
    settings = Settings(migration_database_url=url, migration_database_password=given)
    assert settings.database().password == "a$b# é"
    assert Settings(migration_database_password=given).database(url).password == "a$b# é"


@each(
    "password, reason",
    [(None, "is not set"), ("", "is not set"), ("zoo_migrator", "is shorter"), ("a" * 30, "repeats itself")],
)
def test_production_refuses_a_password_that_can_be_guessed(password: str | None, reason: str) -> None:
    settings = Settings(environment="production", migration_database_url=URL, migration_database_password=password)
    with pytest.raises(ConfigurationError, match=rf"^MIGRATION_DATABASE_PASSWORD {reason}.*openssl rand -base64 32"):
        settings.database()


def test_a_file_that_is_not_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "migration_database_password").write_bytes(GOOD.encode("utf-16"))
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    with pytest.raises(ConfigurationError, match="migration_database_password: is not UTF-8"):
        load_settings()


def test_production_takes_a_long_password() -> None:
    settings = Settings(environment="production", migration_database_url=URL, migration_database_password=GOOD)
    assert settings.database().password == GOOD


def test_a_password_never_shows() -> None:
    settings = Settings(migration_database_url=URL, migration_database_password=GOOD)
    assert GOOD not in repr(settings) + str(settings.database())


@each("url", ["zoo", "mysql://zoo:hidden-in-url@b/c", "postgresql://zoo@db", "postgresql://a@b:x/c"])
def test_a_url_that_is_none_is_refused_and_shows_the_form(url: str) -> None:
    with pytest.raises(ValidationError, match=r"postgresql://USER@HOST:PORT/DATABASE") as caught:
        Settings(migration_database_url=url)
    assert "hidden-in-url" not in str(caught.value)


@each("driver", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_a_url_may_be_written_as_hosts_and_other_drivers_have_it(driver: str) -> None:
    url = Settings(migration_database_url=f"{driver}://zoo@db:5433/zoo?sslmode=require").database()
    assert (url.user, url.hosts, url.database, url.parameters) == (
        "zoo",
        (("db", 5433),),
        "zoo",
        {"sslmode": "require"},
    )


@pytest.mark.parametrize("phase", ["expand", "contract", "all"])
def test_each_phase_can_be_named(phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATOR_PHASE", phase)
    assert load_settings().migrator_phase == phase


def test_what_can_not_be_used_is_said_in_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATOR_PHASE", "later")
    monkeypatch.setenv("MIGRATOR_LOCK_TIMEOUT", "-1")
    with pytest.raises(ConfigurationError, match=r"(?m)^MIGRATOR_LOCK_TIMEOUT: [^\n]+\nMIGRATOR_PHASE: [^\n]+$"):
        load_settings()
