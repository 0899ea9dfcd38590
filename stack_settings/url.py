"""A URL in its parts."""

import configparser
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, unquote

from stack_settings.parameters import check
from stack_settings.tls import with_mode

FORM = "write postgresql://USER@HOST:PORT/DATABASE"
ENCODE = "with %40 for @, %2F for /, %3F for ?, %23 for #, %3A for : and %25 for % in a user's name or a password"
DEFAULT_PORT, LAST_PORT = 5432, 65_535
SOCKET = "/"  # a host that begins so is the folder of a Unix socket

# As libpq takes it apart: what is before the first slash or question mark are users and hosts.
_PARTS = re.compile(r"(?P<scheme>[a-z0-9+]+)://(?P<who>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?")
_SCHEME = re.compile(r"postgres(?:ql)?(?:\+[a-z0-9]+)?")
_HOST = re.compile(r"(\[[^\[\]]+\]|[^:\[\]]*)(?::([^:]*))?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
NOT_PARAMETERS = ("host", "port", "user", "password", "dbname", "database")


@dataclass(frozen=True)
class DatabaseUrl:
    """Where a database is, and how to log in to it.

    `hosts` are tried in their order; without one, those are that libpq would try. `parameters` are libpq's, all of them
    usable: see parameters.py.
    """

    database: str
    hosts: tuple[tuple[str, int], ...] = ()
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)  # sslpassword among them

    @property
    def proves_itself_otherwise(self) -> bool:
        """Whether it may log in without a password: with a certificate, or one that stands in a file."""
        return bool({"sslcert", "passfile"} & self.parameters.keys())

    def without_secrets(self) -> str:
        """A URL for libpq's own programs, without passwords: other users of a machine can read arguments."""
        named = {
            "host": ",".join(host for host, _ in self.hosts),
            "port": ",".join(str(port) for _, port in self.hosts),
            "user": self.user or "",
            "dbname": self.database,
            **{name: value for name, value in self.parameters.items() if name != "sslpassword"},
        }
        return "postgresql://?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in named.items() if value)


def read_url(value: str, instead: Mapping[str, str] = MappingProxyType({})) -> DatabaseUrl:
    """The parts of a URL, whose files can be used. ValueError, with what to write, if it can't be.

    `instead` has what to do instead of parameters that only the caller knows about.
    """
    parts = _PARTS.fullmatch(value.strip())
    if parts is None or not _SCHEME.fullmatch(parts["scheme"]):
        raise ValueError(f"not a URL of Postgres; {FORM}")
    user, at, hosts = parts["who"].rpartition("@")
    if "@" in user or (not at and "@" in f"{parts['database']}{parts['query']}"):
        raise ValueError(f"not a URL, because of characters that have a meaning in one; {FORM}, {ENCODE}")
    given = _query(parts["query"] or "")
    name, _, password = user.partition(":")
    before = {"user": name, "password": password, "host": hosts, "dbname": parts["database"] or ""}
    found = {part: text if part == "host" else _decode(text) for part, text in before.items() if text} | given
    if "service" in found:  # which is for what the URL does not say
        found = _service(found.pop("service"), found.pop("servicefile", None)) | found
    if not (database := found.get("dbname") or found.get("database")):
        raise ValueError(f"without a database; {FORM}")
    return DatabaseUrl(
        database=database,
        hosts=_hosts(found.get("host", ""), found.get("port", "")),
        user=found.get("user"),
        password=found.get("password"),
        parameters=with_mode(check({part: found[part] for part in found if part not in NOT_PARAMETERS}, instead)),
    )


def _decode(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise ValueError(f"a % has to be followed by two digits of a character's code; {FORM}, {ENCODE}")
    return unquote(text)


def _query(query: str) -> dict[str, str]:
    found = {}
    for part in filter(None, query.split("&")):
        name, is_, value = part.partition("=")
        if not is_:
            raise ValueError("a parameter without a value: write ?NAME=VALUE&NAME=VALUE")
        found[_decode(name)] = _decode(value)
    return found


def _service(name: str, file: str | None) -> dict[str, str]:
    """What a service is in the file of services, where libpq looks for it."""
    named = [file or os.environ.get("PGSERVICEFILE") or os.path.expanduser("~/.pg_service.conf")]  # noqa: PTH111 - no HOME
    if directory := os.environ.get("PGSYSCONFDIR"):
        named.append(str(Path(directory) / "pg_service.conf"))
    services = configparser.ConfigParser(interpolation=None, delimiters="=", comment_prefixes="#", strict=False)
    try:
        services.read(named)
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(f"service: {' and '.join(named)} can't be read as a file of services") from error
    if not services.has_section(name):
        raise ValueError(f"service={name}: there is none of this name in {' or '.join(named)}")
    return dict(services[name])


def _hosts(listed: str, ports: str) -> tuple[tuple[str, int], ...]:
    """Hosts with commas between them, each with its own port, or that in `ports`: one for all, or one for each."""
    hosts = [_host(part) for part in listed.split(",")]
    each = ports.split(",") if ports else [port for _, port in hosts]
    if len(each) == 1:
        each *= len(hosts)
    if len(each) != len(hosts):
        raise ValueError(f"port: {len(each)} ports for {len(hosts)} hosts; write one, or one for each host")
    if not listed and not ports:
        return ()
    return tuple((host or "localhost", _port(port)) for (host, _), port in zip(hosts, each, strict=True))


def _host(part: str) -> tuple[str, str]:
    if part.startswith(SOCKET):
        return part, ""
    with suppress(ValueError):  # as a parameter, an IPv6 address has no brackets
        return str(IPv6Address(part)), ""
    found = _HOST.fullmatch(part)
    if found is None:
        raise ValueError(f"not a host; {FORM}, with [ and ] around an IPv6 address")
    return _decode(found[1].strip("[]")), found[2] or ""


def _port(port: str) -> int:
    if not port:
        return DEFAULT_PORT
    # Not shown: it may be the end of a password with a colon in it.
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= LAST_PORT:
        raise ValueError(f"a port is not a number from 1 to {LAST_PORT}; {FORM}, {ENCODE}")
    return int(port)
