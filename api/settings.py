"""The settings, where they come from, and what production rejects."""

import re
from contextvars import ContextVar
from dataclasses import replace
from email import policy
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import NoDecode, SettingsError

from api import __version__
from stack_settings import DatabaseUrl, read_url
from stack_settings.secret import SettingsWithSecrets, weakness

ENVIRONMENT: ContextVar[str] = ContextVar("environment", default="production")
"""The environment that a request, or a command, runs in: in `local`, addresses need not be deliverable."""

PUBLIC_URL: ContextVar[str | None] = ContextVar("public_url", default=None)
"""Where a request's answer says that public objects are: the address of their bucket; None if there is no storage."""

MIN_TOKEN_SECRET_LENGTH = 32  # bytes: of an HMAC-SHA256 key (RFC 7518, section 3.2)
LOCAL_TOKEN_SECRET = "the local token secret, which production refuses"  # noqa: S105
MADE_BY = "openssl rand -base64 32 makes one"

# What other programs say in a database's URL, and is a setting of its own here.
INSTEAD = {
    **dict.fromkeys(("connection_limit", "pool_size", "max_conns", "pool_max_conns"), "set DATABASE_POOL_SIZE instead"),
    "pool_timeout": "set DATABASE_POOL_TIMEOUT instead",
}
# Only characters that need no quoting (RFC 3986, section 2.3), and no segment begins with a dot: nothing in it can lead
# to another host or out of the path, or end a header, a quoted string or a URL.
PATH_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}){1,8}")
# What OpenTelemetry's library can read: a token of HTTP, and printable characters without those that separate.
HEADER = re.compile(r"[!#-'*+.0-9A-Z^-z|~-]+[ \t]*=[ \t]*[ !#-+\--:<-\[\]-~]*")
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _database_url(value: str | DatabaseUrl) -> DatabaseUrl:
    return read_url(value, INSTEAD) if isinstance(value, str) else value


def _mailbox(value: str) -> str:
    found = policy.default.header_factory("From", value if value.isprintable() else "").addresses
    is_one = len(found) == 1 and re.fullmatch(r"[^\s@<>,]+@[^\s@<>,]+", found[0].addr_spec)
    if not is_one or not value.count("<") == value.count(">") <= 1:
        raise ValueError("write zoo@zoo.example, or The Zoo <zoo@zoo.example>")
    return value


def _smtp_url(value: str) -> str:
    if not re.fullmatch(
        r"smtps?://([^\s@/?#:]+(:[^\s@/?#:]+)?@)?([^\s@/?#:\[\]]+|\[[0-9a-fA-F:]+\])(:[1-9]\d{0,4})?/?", value
    ):
        raise ValueError(
            "write smtp://USER:PASSWORD@HOST:PORT, or smtps:// for TLS from the start; the password may be in "
            "SMTP_PASSWORD instead; in the URL, write other characters than letters and digits as %XX"
        )
    return value


def _http_url(value: str) -> str:
    if not re.fullmatch(r"https?://([^\s@/?#:\[\]]+|\[[0-9a-fA-F:]+\])(:[1-9]\d{0,4})?(/[^\s?#]*)?", value):
        raise ValueError("write http://HOST:PORT or https://HOST:PORT, and the path of the service, if any")
    return value.rstrip("/")


def _bucket(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", value):
        raise ValueError(
            "write 3 to 63 lower-case letters, digits and hyphens, without a hyphen at the start or the end"
        )
    return value


def _path_prefix(value: str) -> str:
    if value and not PATH_PREFIX.fullmatch(value):
        raise ValueError("write a path such as /zoo: letters, digits, . _ ~ and -, without a slash at the end")
    return value


def _origins(value: str | tuple[str, ...]) -> tuple[str, ...]:
    listed = value.replace(",", " ").split() if isinstance(value, str) else value
    return tuple(_origin(origin) for origin in listed)


def _origin(value: str) -> str:
    if value == "*":
        raise ValueError("name each origin: with cookies, all origins (*) can't be allowed")
    found = re.fullmatch(r"(https?)://([^\s@/?#:\[\]*]+|\[[0-9a-fA-F:]+\])(:[1-9]\d{0,4})?", value)
    if not found:
        raise ValueError("write origins such as https://app.zoo.example, without a path, with commas between them")
    # In the form that browsers send.
    scheme, host, port = found[1], found[2].lower(), found[3] or ""
    return f"{scheme}://{host}{'' if port == DEFAULT_PORTS[scheme] else port}"


def _headers(value: SecretStr) -> SecretStr:
    """OpenTelemetry's library would log any other, as it is, and leave it out."""
    listed = [header.strip() for header in value.get_secret_value().split(",")]
    if not all(HEADER.fullmatch(header) for header in listed if header):
        raise ValueError("write NAME=VALUE, with commas between them, and values URL-encoded")
    return value


PostgresUrl = Annotated[DatabaseUrl, NoDecode, BeforeValidator(_database_url)]
SmtpUrl = Annotated[str, AfterValidator(_smtp_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Bucket = Annotated[str, AfterValidator(_bucket)]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Prefix = Annotated[str, AfterValidator(_path_prefix)]
Headers = Annotated[SecretStr, AfterValidator(_headers)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]


Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


class Settings(SettingsWithSecrets):
    """Settings of the api, from the environment, or from files of the same names in /run/secrets."""

    environment: Literal["local", "production"] = "local"
    release: str = __version__
    port: int = Field(default=8000, ge=1, le=65_535)
    metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    # By OpenTelemetry's own names; its library reads those that are not here.
    otel_exporter_otlp_endpoint: HttpUrl | None = None
    otel_exporter_otlp_headers: Headers | None = None
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = "http/protobuf"
    otel_service_name: str = "zoo-api"
    otel_traces_sampler: Sampler = "parentbased_always_on"
    otel_traces_sampler_arg: float = Field(default=1, ge=0, le=1)
    otel_sdk_disabled: bool = False
    seed: bool = True
    web_concurrency: int = Field(default=2, ge=1)
    # Longer than a proxy keeps an idle connection (usually 60 s), so that the proxy closes it. Otherwise a request that
    # the proxy sends at that moment is lost.
    keep_alive_timeout: int = Field(default=75, ge=1)
    client_timeout: int = Field(default=60, ge=1)
    database_url: PostgresUrl = DatabaseUrl("zoo", (("127.0.0.1", 5432),), "zoo_api")
    database_password: SecretStr | None = None
    database_read_url: PostgresUrl | None = None
    read_max_lag_seconds: float = Field(default=5, ge=3, le=3600)  # it is known to about two seconds
    database_pool_size: int = Field(default=8, ge=1)  # a few per core: more would only take turns
    database_pool_timeout: float = Field(default=2, gt=0)
    database_connect_timeout: float = Field(default=2, gt=0)
    token_secret: SecretStr = SecretStr(LOCAL_TOKEN_SECRET)
    access_token_seconds: int = Field(default=86_400, ge=1, le=10 * 365 * 86_400)
    smtp_url: SmtpUrl | None = Field(default=None, repr=False)
    smtp_password: SecretStr | None = None
    mail_from: Mailbox = "zoo@localhost"
    payments_url: HttpUrl | None = None
    kitchen_url: HttpUrl | None = None
    s3_url: HttpUrl | None = None
    s3_upload_url: HttpUrl | None = None
    s3_public_url: HttpUrl | None = None
    s3_bucket: Bucket | None = None
    s3_public_bucket: Bucket | None = None
    s3_backup_bucket: Bucket | None = None
    s3_region: Region = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    # By AWS's own names, because its platforms set them.
    aws_web_identity_token_file: Path | None = None
    aws_role_arn: str | None = None
    aws_endpoint_url_sts: HttpUrl | None = None
    root_path: Prefix = ""
    forwarded_allow_ips: str = "127.0.0.1"
    cors_origins: Origins = ()
    gzip: bool = True
    log_format: Literal["text", "json"] | None = None

    def database(self) -> DatabaseUrl:
        """Where to connect, password included. ValueError if production would run with a weak one.

        A password in DATABASE_URL is the password; without one, it is DATABASE_PASSWORD.
        """
        return self._login(self.database_url, "DATABASE_URL")

    def read_database(self) -> DatabaseUrl | None:
        """Where a replica is, in the same way; None if there is none."""
        return self.database_read_url and self._login(self.database_read_url, "DATABASE_READ_URL")

    def _login(self, login: DatabaseUrl, setting: str) -> DatabaseUrl:
        name = "DATABASE_PASSWORD" if login.password is None else f"the password in {setting}"
        if login.password is None and self.database_password is not None:
            login = replace(login, password=self.database_password.get_secret_value())
        if login.password or not login.proves_itself_otherwise:
            self._require_strong(name, weakness(login.password or ""))
        return login

    @property
    def traces_url(self) -> str | None:
        """Where the collector takes traces; None if there are none."""
        endpoint = self.otel_exporter_otlp_endpoint
        return None if endpoint is None or self.otel_sdk_disabled else f"{endpoint}/v1/traces"

    @property
    def public_url(self) -> str | None:
        """The address of the public bucket, as browsers reach it; None if there is no storage."""
        if self.s3_url is None:
            return None
        return self.s3_public_url or f"{self.s3_upload_url or self.s3_url}/{self.s3_public_bucket}"

    def require_usable(self) -> None:
        """ValueError, with a line for each setting that the api can't run with, if there is any."""
        found = []
        checks = (
            self._require_ports,
            self.database,
            self.read_database,
            self._require_mail,
            self._require_token_secret,
            self.require_storage,
        )
        for check in checks:
            try:
                check()
            except ValueError as error:
                found.append(str(error))
        if found:
            raise ValueError("\n".join(dict.fromkeys(found)))  # both URLs may use the same password

    def _require_ports(self) -> None:
        if self.metrics_port == self.port:
            raise ValueError("METRICS_PORT is the same as PORT: everybody could read the metrics")

    def _require_token_secret(self) -> None:
        secret = self.token_secret.get_secret_value()
        reason = "is the default" if secret == LOCAL_TOKEN_SECRET else weakness(secret, MIN_TOKEN_SECRET_LENGTH)
        self._require_strong("TOKEN_SECRET", reason)

    def smtp_login(self) -> tuple[str, str] | None:
        """The mail server's user and password; None if it wants none. A password in SMTP_URL is the password.

        ValueError if one of the two is missing.
        """
        server = urlsplit(self.smtp_url or "")
        user, password = unquote(server.username or ""), unquote(server.password or "")
        if not password and self.smtp_password:
            password = self.smtp_password.get_secret_value()
        if bool(user) != bool(password):
            raise ValueError("SMTP_URL has to name a USER if there is an SMTP_PASSWORD, and only then")
        return (user, password) if user else None

    def _require_mail(self) -> None:
        if self.smtp_url is None:
            if self.environment == "production":
                raise ValueError("SMTP_URL is not set: nobody would get the mail that resets a password")
            return
        login = self.smtp_login()
        if login is not None:
            # Its length is up to who runs the server.
            self._require_strong("SMTP_PASSWORD", weakness(login[1], min_length=1))

    def require_storage(self) -> None:
        """ValueError if the settings of the storage are not complete, or production would run with a weak key."""
        if self.s3_url is None:
            names = (
                "s3_upload_url",
                "s3_public_url",
                "s3_bucket",
                "s3_public_bucket",
                "s3_access_key_id",
                "s3_secret_access_key",
            )
            if found := [name.upper() for name in names if getattr(self, name) is not None]:
                raise ValueError(f"S3_URL is not set, but {', '.join(found)}: set it, or none of them")
            return
        missing = [name for name in ("S3_BUCKET", "S3_PUBLIC_BUCKET") if getattr(self, name.lower()) is None]
        if missing:
            raise ValueError(f"{' and '.join(missing)}: not set, though S3_URL is")
        if self.s3_bucket == self.s3_public_bucket:
            raise ValueError("S3_BUCKET and S3_PUBLIC_BUCKET are the same: what is uploaded would be public")
        if self.s3_backup_bucket in {self.s3_bucket, self.s3_public_bucket}:
            raise ValueError("S3_BACKUP_BUCKET is a bucket of the api: backups need one that the api may not read")
        key, secret = self.s3_access_key_id, self.s3_secret_access_key
        if (key is None) != (secret is None):
            raise ValueError("S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY: set both, or none")
        if secret is not None:
            self._require_strong("S3_SECRET_ACCESS_KEY", weakness(secret.get_secret_value()))
        elif self.aws_role_arn is None or self.aws_web_identity_token_file is None:
            raise ValueError(
                "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY are not set, though S3_URL is; nor is a web identity: "
                "AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE"
            )

    def _require_strong(self, name: str, reason: str | None) -> None:
        if reason and self.environment == "production":
            raise ValueError(f"{name} {reason}: set another before running in production ({MADE_BY})")


def load_settings() -> Settings:
    """The settings of the environment. ValueError, with a line for each that can't be used, if there is any."""
    try:
        return Settings()
    except SettingsError as error:  # a file
        raise ValueError(str(error.__cause__)) from error
    except ValidationError as error:
        found = [(str(e["loc"][0]).upper(), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        raise ValueError("\n".join(f"{name}: {message}" for name, message in found)) from error
