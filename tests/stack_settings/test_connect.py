"""Connections by a URL, on a real server."""

import asyncio

import asyncpg
import pytest
from asyncpg.exceptions import TargetServerAttributeNotMatched

from local.postgres import Server
from stack_settings import connect, read_url


async def ask(url: str, query: str, timeout: float = 10, **settings: str) -> object:
    connection = await connect(read_url(url), timeout=timeout, defaults={"lock_timeout": "7s"}, settings=settings)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def url_of(server: Server, database: str, parameters: str = "", before: str = "") -> str:
    return f"postgresql://zoo_api@/{database}?host={before}{server.socket_dir}&{parameters}"


@pytest.mark.parametrize("before", ["/nowhere,", "127.0.0.1:1,", "nowhere.invalid,"])
async def test_the_next_host_is_asked_if_one_does_not_answer(server: Server, worker_database: str, before: str) -> None:
    assert await ask(url_of(server, worker_database, before=before), "SELECT 1") == 1


async def test_a_host_that_hangs_has_its_own_time_and_takes_none_of_the_next(
    server: Server, worker_database: str
) -> None:
    closed: list[asyncio.StreamWriter] = []
    hanging = await asyncio.start_server(lambda _, writer: closed.append(writer), "127.0.0.1")
    port = hanging.sockets[0].getsockname()[1]
    before = f"127.0.0.1:{port},"
    assert await ask(url_of(server, worker_database, "connect_timeout=1", before), "SELECT 1", timeout=600) == 1
    with pytest.raises(TimeoutError, match=r"127\.0\.0\.1 does not answer"):
        await ask(f"postgresql://zoo_api@127.0.0.1:{port}/zoo?sslmode=disable", "SELECT 1", timeout=0.2)
    for writer in closed:
        writer.close()
        await writer.wait_closed()
    hanging.close()


@pytest.mark.parametrize("wanted", ["any", "primary", "read-write", "prefer-standby"])
async def test_the_primary_is_what_is_wanted(server: Server, worker_database: str, wanted: str) -> None:
    assert await ask(url_of(server, worker_database, f"target_session_attrs={wanted}"), "SELECT 1") == 1


@pytest.mark.parametrize("wanted", ["standby", "read-only"])
async def test_the_primary_is_not_what_is_wanted(server: Server, worker_database: str, wanted: str) -> None:
    with pytest.raises(TargetServerAttributeNotMatched):
        await ask(url_of(server, worker_database, f"target_session_attrs={wanted}"), "SELECT 1")


async def test_a_login_that_is_refused_is_tried_on_no_other_host(server: Server, worker_database: str) -> None:
    url = f"postgresql://nobody@/{worker_database}?host={server.socket_dir},/nowhere"
    with pytest.raises(asyncpg.PostgresError, match="nobody"):
        await ask(url, "SELECT 1")


@pytest.mark.parametrize(
    ("options", "setting", "value"),
    [
        ("-c search_path=a,\\ b", "search_path", "a, b"),
        ("-csearch_path=x --DateStyle=German", "DateStyle", "German, DMY"),
        ("-c lock_timeout=3s", "lock_timeout", "3s"),  # where the program has a default
        ("-c statement_timeout=3s", "statement_timeout", "9s"),  # where it needs its own
        ("", "lock_timeout", "7s"),
    ],
)
async def test_options_are_settings_of_the_session(
    server: Server, worker_database: str, options: str, setting: str, value: str
) -> None:
    parameters = f"options={options.replace('=', '%3D').replace(' ', '%20')}"
    shown = await ask(url_of(server, worker_database, parameters), f"SHOW {setting}", statement_timeout="9s")
    assert shown == value
