"""Connections by a URL: what libpq does with its parameters, and the driver does not."""

import random
import re
import socket
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import asyncpg
from asyncpg.exceptions import TargetServerAttributeNotMatched

from stack_settings.tls import SYSTEM, context
from stack_settings.url import DatabaseUrl

NAME_BYTES = 63  # of a session's name; Postgres would truncate a longer one, too, with a notice to each connection
SEPARATOR = ": "
ESCAPED = re.compile(r"\\(.)")
OPTION = re.compile(r"(?:-c\s*|--)([\w.-]+)=((?:\\.|\S)*)")
# libpq goes on to the next host after these, and so do we.
NEXT_HOST = (OSError, asyncpg.CannotConnectNowError, TargetServerAttributeNotMatched)
_BY_DRIVER = ("passfile", "krbsrvname", "gsslib")
_TLS = (
    "sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation",
    "ssl_min_protocol_version", "ssl_max_protocol_version",
)  # fmt: skip


def session_name(url: DatabaseUrl, name: str) -> str:
    """`name`, after the URL's own application_name, of which as much is left as fits: `billing: api@1.0`."""
    own = name.encode()[:NAME_BYTES].decode(errors="ignore")
    room = max(0, NAME_BYTES - len(own.encode()) - len(SEPARATOR))
    before = url.parameters.get("application_name", "").encode()[:room].decode(errors="ignore")
    return f"{before}{SEPARATOR}{own}" if before else own


async def connect(
    url: DatabaseUrl,
    *,
    timeout: float,
    settings: Mapping[str, str],
    defaults: Mapping[str, str] | None = None,
    quiet: Mapping[str, int] | None = None,
    **options: Any,
) -> asyncpg.Connection:
    """A connection to the first host that answers; its error if none does.

    `timeout` is in seconds, for each host, if the URL has no `connect_timeout`. `settings` are the session's;
    `defaults`, too, where the URL's `options` have no others. `quiet` has the keepalives, and the
    `tcp_user_timeout`, that the URL does not name. Other `options` are the driver's.
    """
    named, rest = _session_settings(url.parameters.get("options", ""))
    arguments = {
        "user": url.user,
        "password": url.password,
        "database": url.database,
        "timeout": _timeout(url, timeout),
        "server_settings": {**(defaults or {}), **named, **settings, **({"options": rest} if rest else {})},
        **{name: url.parameters[name] for name in _BY_DRIVER if name in url.parameters},
        **_tls(url.parameters),
        **options,
    }
    connection = await _first_that_answers(url, arguments)
    _set_keepalives(connection._transport.get_extra_info("socket"), {**(quiet or {}), **url.parameters})  # noqa: SLF001 - asyncpg has no option for it
    return connection


async def _first_that_answers(url: DatabaseUrl, arguments: Mapping[str, Any]) -> asyncpg.Connection:
    """One by one, because the driver's time-out is for all hosts together: one that hangs would take all of it."""
    wanted = url.parameters.get("target_session_attrs", "any")
    hosts: list[tuple[str | None, int | None]] = [*url.hosts] or [(None, None)]
    if url.parameters.get("load_balance_hosts") == "random":
        random.shuffle(hosts)
    last: Exception | None = None
    for kind in ("standby", "any") if wanted == "prefer-standby" else (wanted,):
        for host, port in hosts:
            try:
                return await asyncpg.connect(host=host, port=port, target_session_attrs=kind, **arguments)
            except TimeoutError as error:  # without a message
                last = TimeoutError(f"{host or 'the default host'} does not answer")
                last.__cause__ = error
            except NEXT_HOST as error:
                last = error
    assert last is not None
    raise last


def _timeout(url: DatabaseUrl, otherwise: float) -> float | None:
    seconds = url.parameters.get("connect_timeout")
    if seconds is None:
        return otherwise
    return float(seconds) if int(seconds) > 0 else None


def _session_settings(options: str) -> tuple[dict[str, str], str]:
    """The settings in the command-line options of a session, and what else is in them, such as a proxy's own."""
    named = {found[1].replace("-", "_"): ESCAPED.sub(r"\1", found[2]) for found in OPTION.finditer(options)}
    return named, OPTION.sub("", options).strip()


def _tls(parameters: Mapping[str, str]) -> dict[str, Any]:
    """The driver reads them only from a URL of its own, and only files."""
    if parameters.get("sslrootcert") == SYSTEM:
        return {"ssl": context(parameters), "direct_tls": parameters.get("sslnegotiation") == "direct"}
    named = {name: parameters[name] for name in _TLS if name in parameters}
    return {"dsn": f"postgresql:///?{urlencode(named)}"} if named else {}


def _set_keepalives(connected: socket.socket, parameters: Mapping[str, str | int]) -> None:
    if sys.platform != "linux" or connected.family == socket.AF_UNIX:
        return
    kept = int(parameters.get("keepalives", 1))
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, kept)
    for name, option in (
        ("keepalives_idle", socket.TCP_KEEPIDLE),
        ("keepalives_interval", socket.TCP_KEEPINTVL),
        ("keepalives_count", socket.TCP_KEEPCNT),
        ("tcp_user_timeout", socket.TCP_USER_TIMEOUT),
    ):
        if (value := int(parameters.get(name, 0))) > 0:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
