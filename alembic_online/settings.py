"""The settings of a run, and where they come from."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import NoDecode, SettingsError

from alembic_online.errors import ConfigurationError
from stack_settings import DatabaseUrl, read_url
from stack_settings.secret import SettingsWithSecrets, weakness

Phase = Literal["expand", "contract", "all"]
INSTEAD = {"pgbouncer": "leave it out, and give the address of Postgres itself"}


def _database_url(value: str | DatabaseUrl | None) -> DatabaseUrl | None:
    """As in the environment, what is empty is not set: a file that Compose mounts has to be there."""
    return read_url(value, INSTEAD) if value and isinstance(value, str) else value or None


PostgresUrl = Annotated[DatabaseUrl | None, NoDecode, BeforeValidator(_database_url)]


class Settings(SettingsWithSecrets):
    """Settings of the tool: from the environment, or a file in /run/secrets of the same name. Times are seconds."""

    environment: Literal["local", "production"] = "local"
    migration_database_url: PostgresUrl = None  # no default: no schema is changed by accident
    migration_database_password: SecretStr | None = None
    migrator_wait_seconds: float = Field(default=60, ge=0)
    migrator_lock_timeout: float = Field(default=600, ge=0)
    migrator_retry_seconds: float = Field(default=300, ge=0)
    migrator_statement_timeout: float = Field(default=60, ge=0)
    migrator_phase: Phase = "all"
    migrator_drift: Literal["warn", "fail"] = "warn"
    migrator_pooler_url: PostgresUrl = None
    log_format: Literal["text", "json"] | None = None

    def database(self, configured: str | None = None) -> DatabaseUrl:
        """The database to migrate, with its password; `configured`, Alembic's sqlalchemy.url, is the fallback.

        A password in the URL is the password; without one, it is MIGRATION_DATABASE_PASSWORD.

        ConfigurationError if neither can be used, or if production has a weak password.
        """
        login = self.migration_database_url
        if login is None and configured:
            try:
                login = read_url(configured, INSTEAD)
            except ValueError as error:
                raise ConfigurationError(f"sqlalchemy.url: {error}") from error
        if login is None:
            raise ConfigurationError("MIGRATION_DATABASE_URL is not set: write postgresql://USER@HOST:PORT/DATABASE")
        name = "MIGRATION_DATABASE_PASSWORD" if login.password is None else "the password in MIGRATION_DATABASE_URL"
        if login.password is None and self.migration_database_password is not None:
            login = replace(login, password=self.migration_database_password.get_secret_value())
        reason = weakness(login.password or "")
        if self.environment == "production" and reason and (login.password or not login.proves_itself_otherwise):
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
