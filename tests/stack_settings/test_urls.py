"""URLs as libpq, platforms and other programs write them."""

from pathlib import Path
from typing import Any

import pytest

from stack_settings import DatabaseUrl, read_url, session_name
from stack_settings.parameters import INSTEAD, SSL_MODES, TAKEN
from tests.each import each

AT = (("db", 5432),)
BY_TLS = "sslrootcert=system&sslmode=verify-full"
SECRET = "hidden"


@each(
    "url, expected",
    [
        ("postgres://app@db/app", {}),
        ("postgresql+psycopg2://app@db/app", {}),
        (" postgresql://app@db/app\r\n", {}),
        ("postgresql://app@db:6543/app", {"hosts": (("db", 6543),)}),
        ("postgresql://app@db:/app", {}),
        ("postgresql://db/app", {"user": None}),
        ("postgresql:///app?user=app&host=db", {}),
        ("postgresql://app@/app?host=/var/run/postgresql", {"hosts": (("/var/run/postgresql", 5432),)}),
        ("postgresql://app@%2Fvar%2Frun:6000/app", {"hosts": (("/var/run", 6000),)}),
        ("postgresql://app@/app", {"hosts": ()}),
        ("postgresql://app@::1/app", {"hosts": (("::1", 5432),)}),
        ("postgresql://app@[::1]:6000/app", {"hosts": (("::1", 6000),)}),
        ("postgresql://app@/app?host=fe80::1", {"hosts": (("fe80::1", 5432),)}),
        ("postgresql://app@a,b:6000,[::1]/app", {"hosts": (("a", 5432), ("b", 6000), ("::1", 5432))}),
        ("postgresql://app@/app?host=a,b&port=6000", {"hosts": (("a", 6000), ("b", 6000))}),
        ("postgresql://app@/app?host=a,b&port=1,2", {"hosts": (("a", 1), ("b", 2))}),
        ("postgresql://app:p%40%2F%3A%3F%23%25%20+@db/app", {"password": "p@/:?#% +"}),
        ("postgresql://app:a:b@db/app", {"password": "a:b"}),
        ("postgresql://app:@db/app", {"password": None}),
        ("postgresql://db/other?dbname=app&user=app&password=a%26b", {"password": "a&b"}),
        ("postgresql://app@db/a%70p", {}),
        ("postgresql://app@db/app?sslmode=disable&sslmode=require", {"parameters": {"sslmode": "require"}}),
        ("postgresql://app@db/app?ssl=true", {"parameters": {"sslmode": "require"}}),
        ("postgresql://app@db/app?", {}),
    ],
)
def test_is_taken_apart_as_libpq_does(url: str, expected: dict[str, Any]) -> None:
    assert read_url(url) == DatabaseUrl(**{"database": "app", "hosts": AT, "user": "app", "parameters": {}} | expected)


@each(
    "parameters",
    [
        *(f"sslmode={mode}" for mode in SSL_MODES[:4]),
        f"{BY_TLS}&channel_binding=require",
        "sslrootcert=system",
        "sslmode=require&sslnegotiation=direct",
        "sslmode=require&channel_binding=prefer",
        "connect_timeout=10&application_name=app",
        "options=-c%20search_path%3Dzoo",
        "options=endpoint%3Dep-cool-1",
        "target_session_attrs=read-write&load_balance_hosts=random",
        "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=5&tcp_user_timeout=9000",
        "gssencmode=disable&sslsni=1&client_encoding=utf8&sslcompression=0&fallback_application_name=psql",
        "ssl_min_protocol_version=TLSv1.3",
    ],
)
def test_what_libpq_takes_is_taken(parameters: str) -> None:
    assert read_url(f"postgresql://app@db/app?{parameters}").hosts == AT


@each(
    "parameters, said",
    [
        ("sslmode=no-verify", "sslmode=no-verify: write sslmode=require"),
        ("sslmode=verify_full", "write sslmode=verify-full"),
        ("sslmode=always", "sslmode: write disable, allow"),
        ("sslmode=verify-full", "sslmode=verify-full: write the CA's file in sslrootcert"),
        ("sslmode=verify-ca", "sslmode=verify-ca: write the CA's file in sslrootcert"),
        ("sslrootcert=system&sslmode=require", "sslrootcert=system: write sslmode=verify-full"),
        ("sslrootcert=/no/where.pem&sslmode=verify-full", "sslrootcert=/no/where.pem: No such file"),
        ("sslrootcert=/&sslmode=verify-full", "sslrootcert=/: Is a directory"),
        (f"sslrootcert={Path(__file__)}&sslmode=verify-full", "has no certificate in PEM form"),
        ("sslcert=/no/where.pem", "sslcert=/no/where.pem: No such file"),
        (f"sslcert={Path(__file__)}&sslkey=/no/key.pem", "sslkey=/no/key.pem: No such file"),
        ("sslkey=/no/key.pem", "sslkey: write sslcert, too"),
        (f"{BY_TLS}&sslcrl=/no/crl.pem", "sslcrl=/no/crl.pem: No such file"),
        ("sslnegotiation=direct", "sslnegotiation=direct: write sslmode=require"),
        ("sslmode=require&channel_binding=require", "channel_binding=require: the driver can't"),
        ("channel_binding=maybe", "channel_binding: write disable, prefer or require"),
        ("connect_timeout=soon", "connect_timeout: write a whole number"),
        ("keepalives=yes", "keepalives: write 0 or 1"),
        ("tcp_user_timeout=9s", "tcp_user_timeout: write a whole number"),
        ("target_session_attrs=master", "target_session_attrs: write any, read-write"),
        ("client_encoding=latin1", "client_encoding: leave it out"),
        ("gssencmode=require", "gssencmode: write sslmode=require"),
        ("service=nowhere", "service=nowhere: there is none of this name"),
        ("nonsense=1", "unknown parameter nonsense; known: application_name"),
        ("passfile=/no/passwords", "passfile: No such file"),
        (f"passfile={Path(__file__)}", "passfile: has to be a file that only its owner may read: chmod 600"),
        ("sslmode", "a parameter without a value"),
        ("application_name=%zz", "% has to be followed by two digits"),
        ("schema=app", "schema: write options=-c%20search_path%3DNAME"),
        ("pgbouncer=true", "pgbouncer: leave it out"),
        ("connection_limit=1", "connection_limit: leave it out"),
        ("statement_cache_size=0", "statement_cache_size: leave it out"),
        ("sslaccept=strict", "sslaccept: write sslmode=verify-full"),
    ],
)
def test_what_can_not_be_used_is_refused_with_what_to_write(
    parameters: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r".") as caught:
        read_url(f"postgresql://app:{SECRET}@db/app?{parameters}")
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_no_parameter_is_both_taken_and_refused() -> None:
    assert TAKEN.keys() & INSTEAD.keys() == set()


@each(
    "url",
    [
        SECRET,
        f"mysql://app:{SECRET}@db/app",
        f"postgresql://app:{SECRET}@db",
        f"postgresql://app:{SECRET}@db/",
        f"postgresql://app:{SECRET}@db:port/app",
        f"postgresql://app:{SECRET}@db:0/app",
        f"postgresql://app:{SECRET}@db:65536/app",
        f"postgresql://app:{SECRET}@::1:5432x/app",
        f"postgresql://app:{SECRET}@a,b:1:2/app",
        f"postgresql://app:{SECRET}@/app?host=a,b&port=1,2,3",
        f"postgresql://app:{SECRET}%@db/app",
        f"postgresql://app:{SECRET}%00@db/app",
        *(f"postgresql://app:a{character}{SECRET}@db/app" for character in "@/?"),
        f"postgresql://app:a?{SECRET}=b@db/app",
        f"postgresql://app:b@db/app?{SECRET}{'x' * 40}=b",
        f"postgresql://app:b@db/app?sslpassword={SECRET}&sslkey=x",
    ],
)
def test_a_url_that_is_refused_is_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"write|known") as caught:
        read_url(url)
    assert SECRET not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    url = read_url(f"postgresql://app:{SECRET}@db/app?sslpassword={SECRET}&application_name=a%20b")
    assert url.password == url.parameters["sslpassword"] == SECRET
    assert SECRET not in repr(url) + str(url) + url.without_secrets()
    assert read_url(url.without_secrets()).parameters == {"application_name": "a b"}


def test_a_service_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = tmp_path / "services"
    services.write_text("# ours\n[app]\nhost=db\nport=6543\ndbname=app\nuser=app\npassword=100%\nsslmode=require\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    found = read_url("postgresql:///?service=app&sslmode=prefer")
    assert found == DatabaseUrl("app", (("db", 6543),), "app", "100%", {"sslmode": "prefer"})
    assert read_url("postgresql://other@/?service=app").user == "other"


@pytest.mark.parametrize(
    ("prefix", "expected"), [(None, "api@1.0"), ("app", "app: api@1.0"), ("é" * 60, f"{'é' * 27}: api@1.0")]
)
def test_the_name_in_a_url_stands_before_the_sessions_own(prefix: str | None, expected: str) -> None:
    url = DatabaseUrl("app", parameters={"application_name": prefix} if prefix else {})
    assert session_name(url, "api@1.0") == expected
