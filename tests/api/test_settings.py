"""Settings: where they come from, and what production rejects."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import alembic_online.settings
from api.settings import LOCAL_TOKEN_SECRET, MIN_SECRET_LENGTH, Settings, load_settings
from tests.conftest import ROOT

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


@pytest.mark.parametrize("password", [None, "", "zoo_api", "x" * (MIN_SECRET_LENGTH - 1)])
def test_production_refuses_a_default_or_short_password(password: str | None) -> None:
    settings = Settings(environment="production", database_password=password)
    with pytest.raises(ValueError, match=r"^DATABASE_PASSWORD is a default or shorter"):
        settings.database()


def test_production_accepts_a_long_password_in_the_url_too() -> None:
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


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"token_secret": LOCAL_TOKEN_SECRET}, "TOKEN_SECRET"),
        ({"token_secret": "x1y2z3" * 5}, "TOKEN_SECRET"),
        ({"token_secret": " " * 32}, "TOKEN_SECRET"),
        ({"smtp_url": None}, "SMTP_URL"),
        ({"smtp_url": "smtp://zoo@mail"}, "SMTP_PASSWORD"),
        ({"smtp_password": GOOD}, "SMTP_PASSWORD"),
    ],
)
def test_production_refuses_settings_that_are_unsafe_or_lose_mail(setting: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**{**SAFE, **setting}).require_usable()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("smtp_url", url)
            for url in ("mail", "http://mail", "smtp://", "smtp://a b", "smtp://m:x", "smtp://u:p@m", "smtp://m#x")
        ),
        *(("mail_from", address) for address in ("zoo", "zoo@zoo.example\n", "Zoo <zoo@zoo.example>")),
        ("access_token_seconds", 0),
        ("access_token_seconds", 10**12),
    ],
)
def test_an_invalid_setting_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})


@pytest.mark.parametrize("url", ["smtp://mail", "smtps://zoo@mail.zoo.example:465/", "smtp://[::1]:25"])
def test_a_mail_server_is_set_by_its_url(url: str) -> None:
    assert Settings(smtp_url=url).smtp_url == url


@pytest.mark.parametrize("url", ["", "zoo", "mysql://a@b/c", "postgresql://zoo_api@db", "postgresql://a@b:x/c"])
def test_an_invalid_url_is_refused_with_the_form_to_write(url: str) -> None:
    with pytest.raises(ValidationError, match=r"postgresql://USER@HOST:PORT/DATABASE"):
        Settings(database_url=url)


def test_a_password_is_never_shown() -> None:
    settings = Settings(database_password=GOOD)
    assert GOOD not in repr(settings) + str(settings.database())


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


@pytest.mark.parametrize("url", ["x", "ftp://pay", "http://", "http://pay:x", "http://a:b@pay", "http://pay?x=1"])
def test_a_service_url_that_is_not_http_is_refused(url: str) -> None:
    for name in ("payments_url", "kitchen_url"):
        with pytest.raises(ValidationError, match=r"write http://HOST:PORT"):
            Settings.model_validate({name: url})


def test_a_service_may_be_below_a_path() -> None:
    assert Settings(payments_url="https://pay.example:8443/v1/").payments_url == "https://pay.example:8443/v1"


def settings_of(path: str, pattern: str) -> dict[str, str]:
    return dict(re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE))


def test_every_setting_is_in_env_example_with_its_default() -> None:
    documented = settings_of(".env.example", r"^([A-Z_]+)=(.*)$")
    in_compose = settings_of("docker-compose.yml", r"\$\{([A-Z_]+):-([^}]*)\}")
    assert documented == in_compose
    fields = alembic_online.settings.Settings.model_fields | Settings.model_fields
    assert fields.pop("port").default == 8000  # within Compose's containers, always
    assert {name.upper() for name in fields} <= documented.keys()
    for name, field in fields.items():
        if field.annotation in (int, float):
            assert float(documented[name.upper()]) == field.default


def test_every_setting_is_in_the_documents() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in settings_of(".env.example", r"^([A-Z_]+)=(.*)$") if f"`{name}`" not in page] == []
