"""Settings: where they come from, and what production rejects."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

import alembic_online.settings
from api.settings import Settings, load_settings
from tests.conftest import ROOT
from tests.each import each

GOOD = "correct horse battery staple"


def test_the_password_is_put_into_the_url_whatever_characters_it_has() -> None:
    password = "p@ss/w:rd?#%é"
    settings = Settings(database_url="postgresql://zoo_api@db/zoo", database_password=password)
    assert settings.database().password == password
    assert settings.database().hosts == (("db", 5432),)


def test_a_secret_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "database_password").write_text(f"{GOOD}\n")
    monkeypatch.delenv("DATABASE_PASSWORD", raising=False)
    assert Settings(_secrets_dir=tmp_path).database().password == GOOD


def test_a_url_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://zoo_api@a,b:6000/zoo\n")
    assert load_settings().database().hosts == (("a", 5432), ("b", 6000))


def test_the_environment_takes_precedence_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "database_password").write_text("from the file")
    monkeypatch.setenv("DATABASE_PASSWORD", "from the environment")
    assert Settings(_secrets_dir=tmp_path).database().password == "from the environment"


def test_a_file_is_read_without_line_ends_and_a_byte_order_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "database_password").write_bytes(f"\ufeff {GOOD}\r\n".encode())
    monkeypatch.delenv("DATABASE_PASSWORD", raising=False)
    assert Settings(_secrets_dir=tmp_path).database().password == GOOD


def test_a_file_that_is_not_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "database_password").write_bytes(GOOD.encode("utf-16"))
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    with pytest.raises(ValueError, match="database_password: is not UTF-8"):
        load_settings()


@pytest.mark.parametrize("headers", ["authorization: Bearer QXJb", "QXJb", "a=b,QXJb", "=QXJb", 'a="QXJb"', "a b=QXJb"])
def test_headers_that_the_collector_would_not_get_are_refused_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, headers: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    with pytest.raises(ValueError, match=r"^OTEL_EXPORTER_OTLP_HEADERS: write NAME=VALUE") as refused:
        load_settings()
    assert "QXJb" not in f"{refused.value} {refused.value.__cause__}"


@pytest.mark.parametrize("headers", ["", "authorization=Bearer%20QXJb", "a=Bearer QXJb==, x-scope = zoo,"])
def test_headers_of_the_collector_may_be_encoded_or_not(headers: str) -> None:
    settings = Settings(otel_exporter_otlp_headers=headers)
    assert (settings.otel_exporter_otlp_headers or SecretStr("")).get_secret_value() == headers


@pytest.mark.parametrize("given", ["of the setting", "", None])
def test_a_password_in_the_url_is_the_password(given: str | None) -> None:
    settings = Settings(database_url="postgresql://zoo_api:a%24b%23%20%C3%A9@db/zoo", database_password=given)
    assert settings.database().password == "a$b# é"


@each(
    "password, reason",
    [(None, "is not set"), ("", "is not set"), ("zoo_api", "is shorter"), ("zoo_api_zoo_api_zoo_api", "repeats")],
)
def test_production_refuses_a_password_that_can_be_guessed(password: str | None, reason: str) -> None:
    settings = Settings(environment="production", database_password=password)
    with pytest.raises(ValueError, match=rf"^DATABASE_PASSWORD {reason}.*openssl rand -base64 32"):
        settings.database()
    settings = Settings(environment="production", database_url=f"postgresql://zoo_api:{password or ''}@db/zoo")
    said = f"the password in DATABASE_URL {reason}" if password else "DATABASE_PASSWORD is not set"
    with pytest.raises(ValueError, match=f"^{said}"):
        settings.database()


def test_production_accepts_a_good_password_in_the_url_too() -> None:
    settings = Settings(environment="production", database_url=f"postgresql://zoo_api:{GOOD}@db/zoo")
    assert settings.database().password == GOOD


SAFE: dict[str, Any] = {
    "environment": "production",
    "database_password": GOOD,
    "smtp_url": "smtp://mail",
    "token_secret": GOOD * 2,
}


def test_production_runs_with_safe_settings() -> None:
    Settings(**SAFE).require_usable()


def test_all_that_production_refuses_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"^DATABASE_PASSWORD .*\nSMTP_URL .*\nTOKEN_SECRET [^\n]*$"):
        Settings(environment="production").require_usable()


@each("url", ["", "zoo", "mysql://a@b/c", "postgresql://zoo_api@db", "postgresql://a@b:x/c"])
def test_an_invalid_url_is_refused_with_the_form_to_write(url: str) -> None:
    with pytest.raises(ValidationError, match=r"postgresql://USER@HOST:PORT/DATABASE"):
        Settings(database_url=url)


def test_a_password_is_never_shown() -> None:
    in_url = Settings(database_url=f"postgresql://zoo_api:{GOOD}@db/zoo")
    for settings in (Settings(database_password=GOOD), in_url):
        assert "correct" not in repr(settings) + str(settings.database())


@pytest.mark.parametrize("url", ["postgres://zoo:hidden-in-url@db/", "mysql://zoo:hidden-in-url@db/zoo"])
def test_a_url_that_is_refused_is_not_shown(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(database_url=url)
    assert "hidden-in-url" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"), [("connection_limit", "DATABASE_POOL_SIZE"), ("pool_timeout", "_POOL_TIMEOUT")]
)
def test_what_is_a_setting_of_its_own_is_not_taken_in_the_url(name: str, said: str) -> None:
    with pytest.raises(ValidationError, match=rf"{name}: set \w*{said}"):
        Settings(database_url=f"postgresql://zoo_api@db/zoo?{name}=5")


def settings_of(path: str, pattern: str) -> dict[str, str]:
    """The first value of each setting."""
    return dict(reversed(re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE)))


def test_every_setting_is_in_env_example_with_its_default() -> None:
    documented = settings_of(".env.example", r"^([A-Z0-9_]+)=(.*)$")
    pattern = r"\$\{((?!COMPOSE_)[A-Z0-9_]+):-((?:[^{}]|\{[^}]*\})*)\}"
    in_compose = settings_of("docker-compose.observe.yml", pattern) | settings_of("docker-compose.yml", pattern)
    assert documented == in_compose
    fields = alembic_online.settings.Settings.model_fields | Settings.model_fields
    assert fields.pop("port").default == 8000  # within Compose's containers, always
    assert {name.upper() for name in fields} <= documented.keys()
    for name, field in fields.items():
        if field.annotation in (int, float):
            assert float(documented[name.upper()]) == field.default


def test_every_setting_is_in_the_documents() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in settings_of(".env.example", r"^([A-Z0-9_]+)=(.*)$") if f"`{name}`" not in page] == []
