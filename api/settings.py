"""The settings, where they come from, and what production rejects."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api import __version__
from postgres_url import DatabaseUrl, read_url

SECRETS_DIR = Path("/run/secrets")
MIN_SECRET_LENGTH = 16
MIN_DIFFERENT = 8
MIN_TOKEN_SECRET_LENGTH = 32  # bytes: of an HMAC-SHA256 key (RFC 7518, section 3.2)
LOCAL_TOKEN_SECRET = "the local token secret, which production refuses"  # noqa: S105
# The defaults of docker-compose.yml, so that a fresh clone runs without preparation.
LOCAL_SECRETS = {"zoo_api", "zoo_migrator", "postgres", LOCAL_TOKEN_SECRET}

# What other programs say in a database's URL, and is a setting of its own here.
INSTEAD = {
    **dict.fromkeys(("connection_limit", "pool_size", "max_conns", "pool_max_conns"), "set DATABASE_POOL_SIZE instead"),
    "pool_timeout": "set DATABASE_POOL_TIMEOUT instead",
}
# Only characters that need no quoting (RFC 3986, section 2.3), and no segment begins with a dot: nothing in it can lead
# to another host or out of the path, or end a header, a quoted string or a URL.
PATH_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}){1,8}")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _database_url(value: str | DatabaseUrl) -> DatabaseUrl:
    return read_url(value, INSTEAD) if isinstance(value, str) else value


def _smtp_url(value: str) -> str:
    if not re.fullmatch(r"smtps?://([^\s@/?#:]+@)?([^\s@/?#:\[\]]+|\[[0-9a-fA-F:]+\])(:[1-9]\d{0,4})?/?", value):
        raise ValueError(
            "write smtp://USER@HOST:PORT, or smtps:// for TLS from the start; the password is SMTP_PASSWORD"
        )
    return value


def _http_url(value: str) -> str:
    if not re.fullmatch(r"https?://([^\s@/?#:\[\]]+|\[[0-9a-fA-F:]+\])(:[1-9]\d{0,4})?(/[^\s?#]*)?", value):
        raise ValueError("write http://HOST:PORT or https://HOST:PORT, and the path of the service, if any")
    return value.rstrip("/")


def _path_prefix(value: str) -> str:
    if value and not PATH_PREFIX.fullmatch(value):
        raise ValueError("write a path such as /zoo: letters, digits, . _ ~ and -, without a slash at the end")
    return value


def _origins(value: str | tuple[str, ...]) -> tuple[str, ...]:
    listed = value.replace(",", " ").split() if isinstance(value, str) else value
    return tuple(_origin(origin) for origin in listed)


def _origin(value: str) -> str:
    if value == "*":
        raise ValueError("name each origin: with the cookie, all origins (*) can't be allowed")
    found = re.fullmatch(r"(https?)://([^\s@/?#:\[\]*]+|\[[0-9a-fA-F:]+\])(:[1-9]\d{0,4})?", value)
    if not found:
        raise ValueError("write origins such as https://app.zoo.example, without a path, with commas between them")
    # In the form that browsers send.
    scheme, host, port = found[1], found[2].lower(), found[3] or ""
    return f"{scheme}://{host}{'' if port == DEFAULT_PORTS[scheme] else port}"


PostgresUrl = Annotated[DatabaseUrl, NoDecode, BeforeValidator(_database_url)]
SmtpUrl = Annotated[str, AfterValidator(_smtp_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Prefix = Annotated[str, AfterValidator(_path_prefix)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]


class Settings(BaseSettings):
    """Settings of the api, from the environment, or from files of the same names in /run/secrets."""

    model_config = SettingsConfigDict(
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,  # a URL may have a password in it
    )

    environment: Literal["local", "production"] = "local"
    release: str = __version__
    port: int = Field(default=8000, ge=1, le=65_535)
    web_concurrency: int = Field(default=2, ge=1)
    # Longer than a proxy keeps an idle connection (usually 60 s), so that the proxy closes it. Otherwise a request that
    # the proxy sends at that moment is lost.
    keep_alive_timeout: int = Field(default=75, ge=1)
    client_timeout: int = Field(default=60, ge=1)
    database_url: PostgresUrl = DatabaseUrl("zoo", (("127.0.0.1", 5432),), "zoo_api")
    database_password: SecretStr | None = None
    database_pool_size: int = Field(default=8, ge=1)  # a few per core: more would only take turns
    database_pool_timeout: float = Field(default=2, gt=0)
    database_connect_timeout: float = Field(default=2, gt=0)
    token_secret: SecretStr = SecretStr(LOCAL_TOKEN_SECRET)
    access_token_seconds: int = Field(default=86_400, ge=1, le=10 * 365 * 86_400)
    smtp_url: SmtpUrl | None = None
    smtp_password: SecretStr | None = None
    mail_from: str = Field(default="zoo@localhost", pattern=r"^[^\s@<>,]+@[^\s@<>,]+$")
    payments_url: HttpUrl | None = None
    kitchen_url: HttpUrl | None = None
    root_path: Prefix = ""
    forwarded_allow_ips: str = "127.0.0.1"
    cors_origins: Origins = ()
    gzip: bool = True
    log_format: Literal["text", "json"] | None = None

    def database(self) -> DatabaseUrl:
        """Where to connect, password included. ValueError if production would run with a weak secret."""
        login = self.database_url
        if self.database_password is not None:
            login = replace(login, password=self.database_password.get_secret_value())
        secret = login.password or ""
        is_weak = secret in LOCAL_SECRETS or len(secret) < MIN_SECRET_LENGTH
        if self.environment == "production" and is_weak and (secret or not login.proves_itself_otherwise):
            raise ValueError(
                f"DATABASE_PASSWORD is a default or shorter than {MIN_SECRET_LENGTH} characters: set it in the "
                f"environment, or in {SECRETS_DIR}/database_password, before running in production"
            )
        return login

    def require_usable(self) -> None:
        """ValueError if the api can't run with these settings."""
        self.database()
        has_user, has_password = (
            "@" in (self.smtp_url or ""),
            bool(self.smtp_password and self.smtp_password.get_secret_value()),
        )
        if self.smtp_url and has_user != has_password:
            raise ValueError("SMTP_URL has to name a USER if there is an SMTP_PASSWORD, and only then")
        if self.environment == "production":
            secret = self.token_secret.get_secret_value()
            if (
                secret == LOCAL_TOKEN_SECRET
                or len(secret) < MIN_TOKEN_SECRET_LENGTH
                or len(set(secret)) < MIN_DIFFERENT
            ):
                raise ValueError(
                    f"TOKEN_SECRET is the default, or shorter than {MIN_TOKEN_SECRET_LENGTH} characters, or of few "
                    f"different ones: set it in the environment, or in {SECRETS_DIR}/token_secret "
                    "(openssl rand -hex 32 makes one)"
                )
            if self.smtp_url is None:
                raise ValueError("SMTP_URL is not set: nobody would get the mail that resets a password")


def load_settings() -> Settings:
    """The settings of the environment. ValueError, with a line for each that can't be used, if there is any."""
    try:
        return Settings()
    except ValidationError as error:
        found = [(str(e["loc"][0]).upper(), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        raise ValueError("\n".join(f"{name}: {message}" for name, message in found)) from error
