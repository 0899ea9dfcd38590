"""The settings of a run, and where they come from."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import SettingsError
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from alembic_online.errors import ConfigurationError
from alembic_online.secret import SettingsWithSecrets, weakness

URL_PARAMETERS = {"host", "port", "ssl"}


def _asyncpg_url(value: str) -> str:
    try:
        url = make_url(value)
    except (ArgumentError, ValueError) as error:  # ValueError: the port is not a number
        raise ValueError("not a URL; write postgresql://USER@HOST:PORT/DATABASE") from error
    if url.get_backend_name() not in {"postgresql", "postgres"} or not url.database:
        raise ValueError("write postgresql://USER@HOST:PORT/DATABASE")
    # libpq calls it sslmode, asyncpg ssl; the values are the same.
    query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    if unknown := query.keys() - URL_PARAMETERS:
        raise ValueError(f"unknown parameter {min(unknown)}; known: {', '.join(sorted(URL_PARAMETERS))}")
    return url.set(drivername="postgresql+asyncpg", query=query).render_as_string(hide_password=False)


PostgresUrl = Annotated[str, AfterValidator(_asyncpg_url)]


class Settings(SettingsWithSecrets):
    """Settings of the tool: from the environment, or a file in /run/secrets of the same name. Times are seconds."""

    environment: Literal["local", "production"] = "local"
    migration_database_url: PostgresUrl | None = Field(
        default=None, repr=False
    )  # no default: no schema is changed by accident
    migration_database_password: SecretStr | None = None
    migrator_wait_seconds: float = Field(default=60, ge=0)
    migrator_lock_timeout: float = Field(default=600, ge=0)
    migrator_retry_seconds: float = Field(default=300, ge=0)
    migrator_statement_timeout: float = Field(default=60, ge=0)
    migrator_phase: Literal["expand", "contract", "all"] = "all"
    migrator_drift: Literal["warn", "fail"] = "warn"
    migrator_pooler_url: PostgresUrl | None = Field(default=None, repr=False)
    log_format: Literal["text", "json"] | None = None

    def database(self, configured: str | None = None) -> URL:
        """The database to migrate, with its password; `configured`, Alembic's sqlalchemy.url, is the fallback.

        A password in the URL is the password; without one, it is MIGRATION_DATABASE_PASSWORD.

        ConfigurationError if neither can be used, or if production has a weak password.
        """
        url = self.migration_database_url
        if url is None and configured:
            try:
                url = _asyncpg_url(configured)
            except ValueError as error:
                raise ConfigurationError(f"sqlalchemy.url: {error}") from error
        if url is None:
            raise ConfigurationError("MIGRATION_DATABASE_URL is not set: write postgresql://USER@HOST:PORT/DATABASE")
        login = make_url(url)
        name = "MIGRATION_DATABASE_PASSWORD" if login.password is None else "the password in MIGRATION_DATABASE_URL"
        if login.password is None and self.migration_database_password is not None:
            login = login.set(password=self.migration_database_password.get_secret_value())
        if self.environment == "production" and (reason := weakness(str(login.password or ""))):
            raise ConfigurationError(
                f"{name} {reason}: set another before running in production (openssl rand -base64 32 makes one)"
            )
        return login


def load_settings() -> Settings:
    """The settings of the environment. ConfigurationError, with one line per invalid setting."""
    try:
        return Settings()
    except SettingsError as error:  # a file
        raise ConfigurationError(str(error.__cause__)) from error
    except ValidationError as error:
        found = [(str(e["loc"][0]).upper(), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        raise ConfigurationError("\n".join(f"{name}: {message}" for name, message in found)) from error
