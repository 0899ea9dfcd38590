"""The parameters of a URL: which values each takes, and what to write in place of those that mean nothing here."""

import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# Of these, the value may be shown: if a password's characters are not encoded, its end can look like a parameter.
SHOWN = 40

Check = Callable[[str], None]


def _text(_: str) -> None:
    """Anything."""


def _one_of(*values: str) -> Check:
    def check(value: str) -> None:
        if value not in values:
            raise ValueError(f"write {', '.join(values[:-1])} or {values[-1]}" if values[1:] else f"write {values[0]}")

    return check


def _number(value: str) -> None:
    if not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise ValueError("write a whole number")


def _private_file(value: str) -> None:
    """What the driver, like libpq, would ignore otherwise."""
    try:
        mode = Path(value).stat().st_mode
    except OSError as error:
        raise ValueError(error.strerror) from None
    if not stat.S_ISREG(mode) or mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError("has to be a file that only its owner may read: chmod 600")


def _only(values: tuple[str, ...], instead: str) -> Check:
    """Values with which the parameter changes nothing; with others, it asks for what the driver can't do."""

    def check(value: str) -> None:
        if value not in values:
            raise ValueError(instead)

    return check


TAKEN: Mapping[str, Check] = {
    **dict.fromkeys(
        (
            "application_name", "fallback_application_name", "options", "krbsrvname",
            "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl",
        ),
        _text,
    ),
    **dict.fromkeys(
        ("connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"), _number
    ),
    "passfile": _private_file,
    "keepalives": _one_of("0", "1"),
    "sslmode": _one_of(*SSL_MODES),
    "sslnegotiation": _one_of("postgres", "direct"),
    "ssl_min_protocol_version": _one_of(*TLS_VERSIONS),
    "ssl_max_protocol_version": _one_of(*TLS_VERSIONS),
    "channel_binding": _one_of("disable", "prefer", "require"),
    "target_session_attrs": _one_of("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": _one_of("disable", "random"),
    "gsslib": _one_of("gssapi", "sspi"),
    "client_encoding": _only(("auto", "utf8", "UTF8", "utf-8", "UTF-8"), "leave it out: the driver speaks UTF-8"),
    "gssencmode": _only(("disable", "prefer"), "write sslmode=require: the driver encrypts by TLS, not by GSSAPI"),
    "sslcompression": _only(("0",), "leave it out: Postgres has no compression of TLS"),
    "sslsni": _only(("1",), "leave it out: the driver always names the host"),
    "sslcertmode": _only(("allow",), "leave it out: sslcert says whether there is a certificate"),
    "min_protocol_version": _only(("3.0",), "leave it out: the driver speaks protocol 3.0"),
    "max_protocol_version": _only(("3.0", "3.2", "latest"), "leave it out: the driver speaks protocol 3.0"),
}  # fmt: skip

_NOT_THE_DRIVERS = "leave it out: the driver can't do that"
_NO_POOL = "leave it out: the URL says where the database is, and no pool is set in it"
_NO_POOLER = "leave it out: nothing has to be said of a pooler"
_NO_CACHE = "leave it out: how statements are prepared is no matter of the URL"
_TLS = "write sslmode=verify-full, and the CA's file in sslrootcert"
_CLIENT_TLS = "write sslcert and sslkey, each with a file in PEM form"

# What can't be used, and what to do about it: libpq's, then what other programs have invented.
INSTEAD: Mapping[str, str] = {
    "hostaddr": "write the address as the host",
    "require_auth": "write sslmode=verify-full: only the true server is then asked to log in",
    "sslcrldir": "write sslcrl, with one file",
    "requirepeer": _NOT_THE_DRIVERS,
    "replication": _NOT_THE_DRIVERS,
    "gssdelegation": _NOT_THE_DRIVERS,
    "scram_client_key": "write the password",
    "scram_server_key": "write the password",
    **dict.fromkeys(("oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope"), _NOT_THE_DRIVERS),
    **dict.fromkeys(("pgbouncer", "pool_mode", "poolmode", "supa", "workaround"), _NO_POOLER),
    **dict.fromkeys(
        (
            "connection_limit", "pool_timeout", "pool_size", "max_overflow", "pool_recycle", "pool_pre_ping", "pool",
            "max_conns", "pool_max_conns", "pool_min_conns", "max_connections", "conn_max_age", "maxPoolSize",
            "max_idle_connection_lifetime", "idle_timeout",
        ),
        _NO_POOL,
    ),
    **dict.fromkeys(
        (
            "statement_cache_size", "prepared_statement_cache_size", "prepared_statement_name_func", "prepareThreshold",
            "preparedStatementCacheQueries", "prepared_statements", "prepare_threshold", "default_query_exec_mode",
            "statement_cache_capacity", "statement_cache_mode", "binary_parameters", "preferQueryMode",
        ),
        _NO_CACHE,
    ),
    **dict.fromkeys(
        ("schema", "currentSchema", "search_path"), "write options=-c%20search_path%3DNAME, with the schema's name"
    ),
    **dict.fromkeys(
        ("statement_timeout", "socket_timeout", "socketTimeout", "command_timeout"),
        "write options=-c%20statement_timeout%3DMILLISECONDS",
    ),
    **dict.fromkeys(("timezone", "TimeZone"), "leave it out: times are in UTC"),
    **dict.fromkeys(("charset", "encoding"), "leave it out: the driver speaks UTF-8"),
    **dict.fromkeys(("timeout", "loginTimeout", "connectTimeout"), "write connect_timeout=SECONDS"),
    **dict.fromkeys(("ApplicationName", "application-name"), "write application_name"),
    "tcpKeepAlive": "write keepalives=1",
    "targetServerType": "write target_session_attrs",
    "loadBalanceHosts": "write load_balance_hosts=random",
    "direct_tls": "write sslnegotiation=direct",
    **dict.fromkeys(("sslfactory", "sslhostnameverifier", "rejectUnauthorized", "uselibpqcompat", "sslaccept"), _TLS),
    **dict.fromkeys(("sslidentity", "sslcertificate"), _CLIENT_TLS),
}  # fmt: skip

# sslmode as other programs write it.
_MODES = {
    "no-verify": "write sslmode=require, which encrypts, and verifies nothing",
    "verify_ca": "write sslmode=verify-ca",
    "verify_full": "write sslmode=verify-full",
    "true": "write sslmode=require",
    "false": "write sslmode=disable",
}
_SSL = {"true": "require", "1": "require", "false": "disable", "0": "disable"}  # JDBC's, of which libpq takes the first


def check(given: Mapping[str, str], instead: Mapping[str, str]) -> dict[str, str]:
    """The parameters that mean something to the driver. ValueError at one that can't be used.

    `instead` has what to do instead of parameters that only the caller knows about.
    """
    found = dict(given)
    if (ssl := found.pop("ssl", None)) is not None:  # asyncpg's name, with the values of sslmode
        found["sslmode"] = _SSL.get(ssl, ssl)
    for name, value in found.items():
        if reason := {**INSTEAD, **instead}.get(name):
            raise ValueError(f"{name}: {reason}")
        if name not in TAKEN:
            shown = name if re.fullmatch(rf"[A-Za-z_.-]{{1,{SHOWN}}}", name) else ""
            raise ValueError(f"unknown parameter {shown}".rstrip() + f"; known: {', '.join(sorted(TAKEN))}")
        if name == "sslmode" and value in _MODES:
            raise ValueError(f"sslmode={value}: {_MODES[value]}")
        try:
            TAKEN[name](value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found
