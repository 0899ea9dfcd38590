"""Clients that guess passwords are kept out, and no others for long."""

import asyncio
import statistics
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import httpx
import pytest

from api.client import CLIENT, Client
from api.crud import throttles
from api.crud.accounts import passwords, sign_ins
from api.crud.accounts.passwords import hash_password, verify_password
from api.crud.throttles import WINDOW
from api.http.clients import subscriber
from api.main import create_app
from api.settings import Settings
from api.turns import Turns
from local.postgres import Server
from tests.api.keeping import admin, database, keeping
from tests.api.test_metrics import count
from tests.api.users.test_auth import hashing_held_up, register, sign_in
from tests.conftest import Log, Served, serve_requests
from tests.each import each
from tests.rounds import rounds
from tests.users import PASSWORD, email_of

__all__ = ["admin", "database", "keeping"]  # fixtures

TOO_LONG = "x" * 200  # wrong, and refused without hashing
# Lower than those in use, because each failure takes a while.
PER_PAIR, PER_ACCOUNT, PER_ADDRESS, REGISTRATIONS = 2, 4, 5, rounds(quick=4, full=40)
MORE = rounds(quick=4, full=10)
LOW = {
    "MAX_FAILURES_ON_AN_ACCOUNT_AT_AN_ADDRESS": PER_PAIR,
    "MAX_FAILURES_ON_AN_ACCOUNT": PER_ACCOUNT,
    "MAX_FAILURES_OF_AN_ADDRESS": PER_ADDRESS,
    "MAX_REGISTRATIONS_FROM_AN_ADDRESS": REGISTRATIONS,
}
IN_USE = {name: getattr(sign_ins, name) for name in LOW}
VISITOR = email_of("visitor")


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in LOW.items():
        monkeypatch.setattr(sign_ins, name, limit)


@pytest.fixture
def limits_in_use(monkeypatch: pytest.MonkeyPatch, low_limits: None) -> None:  # noqa: ARG001 - its opposite
    for name, limit in IN_USE.items():
        monkeypatch.setattr(sign_ins, name, limit)


@pytest.fixture
async def live(server: Server, database: str) -> AsyncIterator[Served]:
    url = server.url("zoo_api", database)
    # On a busy machine a crowd takes a while.
    patient = {"database_pool_timeout": 60, "database_connect_timeout": 60}
    app = create_app(Settings.model_validate({"database_url": url, "database_pool_size": 20, **patient}))
    async with serve_requests(app) as live:
        yield live


@asynccontextmanager
async def at(app: Served, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client at this address."""
    async with app.client(client=(address, 1)) as client:
        yield client


async def fail(app: Served, address: str, email: str, times: int) -> list[int]:
    async with at(app, address) as client:
        return [(await sign_in(client, email, TOO_LONG)).status_code for _ in range(times)]


async def lock(admin: asyncpg.Connection) -> None:
    """As many failures on the visitor's account as are allowed, from elsewhere, without the work that they take."""
    failed = "INSERT INTO throttles VALUES ($1, $2, now()) ON CONFLICT (key) DO UPDATE SET count = $2"
    await admin.execute(failed, throttles.key("account", VISITOR), PER_ACCOUNT)


async def right(app: Served, address: str, email: str = VISITOR) -> int:
    async with at(app, address) as client:
        return (await sign_in(client, email)).status_code


async def verify(number: int) -> None:
    CLIENT.set(Client(f"203.0.113.{number}", number))
    await verify_password(PASSWORD, None)


async def store(number: int) -> None:
    CLIENT.set(Client(f"203.0.113.{number}", number))
    await hash_password(PASSWORD)


async def let_time_pass(admin: asyncpg.Connection, passed: timedelta) -> None:
    await admin.execute("UPDATE throttles SET since = since - $1::interval", passed)


async def test_after_too_many_failures_even_the_right_password_has_to_wait(
    live: Served, admin: asyncpg.Connection
) -> None:
    assert await fail(live, "192.0.2.1", VISITOR, PER_PAIR) == [400] * PER_PAIR
    async with at(live, "192.0.2.1") as client:
        refused = await sign_in(client, VISITOR.upper())
    assert refused.status_code == 429
    assert 0 < int(seconds := refused.headers["Retry-After"]) <= WINDOW.total_seconds()
    assert refused.json()["detail"] == f"Too many attempts: try again in {seconds} s"
    await let_time_pass(admin, WINDOW - timedelta(seconds=5))
    assert await right(live, "192.0.2.1") == 429  # which does not restart the window
    await let_time_pass(admin, timedelta(seconds=5))
    assert await right(live, "192.0.2.1") == 200


async def test_the_window_begins_with_the_first_failure_whatever_follows(
    live: Served, admin: asyncpg.Connection
) -> None:
    for _ in range(PER_PAIR):
        await fail(live, "192.0.2.1", VISITOR, 1)
        await let_time_pass(admin, timedelta(minutes=7))
    assert await right(live, "192.0.2.1") == 429
    await let_time_pass(admin, timedelta(minutes=1))
    assert await fail(live, "192.0.2.1", VISITOR, PER_PAIR) == [400] * PER_PAIR  # it begins anew
    assert await right(live, "192.0.2.1") == 429


async def test_of_several_limits_the_one_that_lasts_longest_says_when_to_try_again(
    live: Served, admin: asyncpg.Connection
) -> None:
    await fail(live, "198.51.100.1", VISITOR, PER_PAIR)
    await let_time_pass(admin, timedelta(minutes=5))
    await fail(live, "192.0.2.1", VISITOR, PER_PAIR)  # now it is too many on the account, too, since five minutes
    async with at(live, "192.0.2.1") as client:
        refused = await sign_in(client, VISITOR)
    assert int(refused.headers["Retry-After"]) > 14 * 60


async def test_of_many_tries_at_once_no_more_get_through(live: Served) -> None:
    for number in range(rounds(quick=1, full=30)):
        async with at(live, f"192.0.2.{number}") as client:
            answers = await asyncio.gather(*(sign_in(client, f"{number}@zoo.example", TOO_LONG) for _ in range(20)))
        got = Counter(answer.status_code for answer in answers)
        assert got.keys() <= {400, 429, 503}
        assert PER_PAIR - got[503] <= got[400] <= PER_PAIR  # on a busy machine some wait too long for their turn


async def test_the_limit_holds_across_workers(live: Served, server: Server, database: str) -> None:
    await fail(live, "192.0.2.1", VISITOR, PER_PAIR)
    async with serve_requests(create_app(Settings(database_url=server.url("zoo_api", database)))) as another:
        assert await right(another, "192.0.2.1") == 429


async def test_a_success_does_not_count_as_a_failure(live: Served) -> None:
    for _ in range(2):
        await fail(live, "192.0.2.1", VISITOR, PER_PAIR - 1)
        assert await right(live, "192.0.2.1") == 200


async def test_an_account_is_protected_from_many_addresses(live: Served, admin: asyncpg.Connection) -> None:
    addresses = [f"192.0.2.{number}" for number in range(PER_ACCOUNT // PER_PAIR + 1)]
    statuses = [status for address in addresses for status in await fail(live, address, VISITOR, PER_PAIR)]
    assert statuses == [400] * PER_ACCOUNT + [429] * PER_PAIR
    assert await right(live, "198.51.100.1") == 429
    await let_time_pass(admin, WINDOW)
    assert await right(live, "198.51.100.1") == 200


@pytest.mark.parametrize("account", ["{}@zoo.example", "{}\x00@zoo.example"], ids=["", "odd"])
async def test_an_address_cannot_try_many_accounts(live: Served, account: str) -> None:
    statuses = [await fail(live, "192.0.2.1", account.format(number), 1) for number in range(PER_ADDRESS + 1)]
    assert statuses == [[400]] * PER_ADDRESS + [[429]]
    assert await right(live, "192.0.2.1") == 429
    assert await right(live, "192.0.2.2") == 200


async def test_a_user_who_has_signed_in_there_before_is_not_locked_out_by_others(
    live: Served, admin: asyncpg.Connection
) -> None:
    assert await right(live, "192.0.2.1") == 200
    await lock(admin)  # from everywhere, to the account
    for number in range(PER_ADDRESS + 1):  # from behind the same proxy, to other accounts
        await fail(live, "192.0.2.1", f"{number}@zoo.example", 1)
    assert await right(live, "203.0.113.1") == 429
    assert await right(live, "192.0.2.1") == 200


async def test_a_password_reset_gives_access_whatever_others_try(
    live: Served, admin: asyncpg.Connection, log: Callable[[], list[Log]]
) -> None:
    await fail(live, "192.0.2.1", VISITOR, PER_PAIR)  # the user, too, who has forgotten the password
    await lock(admin)
    async with at(live, "192.0.2.1") as client:
        assert (await sign_in(client, VISITOR)).status_code == 429
        await client.post("/auth/forgot-password", json={"email": VISITOR})
        await live.state.background.finish()
        (text,) = (line["text"] for line in log() if "text" in line)
        (token,) = (word for word in text.split() if word.startswith("eyJ"))
        assert (
            await client.post("/auth/reset-password", json={"token": token, "password": PASSWORD})
        ).status_code == 200
        await lock(admin)
        assert (await sign_in(client, VISITOR)).status_code == 200


async def test_a_known_address_is_forgotten_after_ninety_days(live: Served, admin: asyncpg.Connection) -> None:
    unused = "UPDATE known_addresses SET last_used_at = last_used_at - $1::interval"
    assert await right(live, "192.0.2.1") == 200
    await admin.execute(unused, timedelta(days=365))
    assert await right(live, "192.0.2.1") == 200  # from here on they are counted
    await lock(admin)
    for unused_for, status in ((timedelta(days=89, hours=23), 200), (timedelta(days=90), 429)):  # each after its use
        await admin.execute(unused, unused_for)
        assert await right(live, "192.0.2.1") == status


async def test_an_address_is_known_for_the_user_who_has_signed_in_there(
    live: Served, admin: asyncpg.Connection
) -> None:
    assert await right(live, "192.0.2.1", email_of("keeper")) == 200
    assert await right(live, "192.0.2.2") == 200
    await lock(admin)
    assert await right(live, "192.0.2.1") == 429  # it is the keeper's
    assert await right(live, "192.0.2.2") == 200


async def test_of_a_users_hundred_known_addresses_the_one_used_least_lately_is_forgotten(
    live: Served, admin: asyncpg.Connection
) -> None:
    await admin.execute(
        "INSERT INTO known_addresses SELECT id, 'a' || n, now() - n * interval '1 hour' FROM users,"
        " generate_series(1, 100) AS n WHERE email = ANY($1)",
        [VISITOR, email_of("keeper")],
    )
    assert await right(live, "192.0.2.1") == 200
    known = (
        "SELECT count(*), bool_or(address = 'a100') FROM known_addresses JOIN users ON id = user_id WHERE email = $1"
    )
    assert tuple(await admin.fetchrow(known, VISITOR)) == (100, False)
    assert tuple(await admin.fetchrow(known, email_of("keeper"))) == (100, True)


@pytest.mark.usefixtures("limits_in_use")
async def test_sign_ins_of_a_user_at_the_same_moment_all_succeed(live: Served, admin: asyncpg.Connection) -> None:
    for number in range(rounds(quick=1, full=20)):
        async with at(live, f"192.0.2.{number}") as client:
            answers = await asyncio.gather(*(sign_in(client, VISITOR) for _ in range(8)))
        assert [answer.status_code for answer in answers] == [200] * 8, {answer.text for answer in answers}
    assert await admin.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
    assert await admin.fetchval("SELECT coalesce(sum(count), 0) FROM throttles") == 0


@pytest.mark.usefixtures("real_hashes")
async def test_a_client_that_registers_by_the_hundred_is_limited_and_others_can_sign_in(live: Served) -> None:
    async with at(live, "192.0.2.1") as flooder, at(live, "192.0.2.2") as user:
        flood = [
            asyncio.create_task(register(flooder, email=f"u{number}@zoo.example"))
            for number in range(REGISTRATIONS + MORE)
        ]
        for _ in range(rounds(quick=2, full=5)):
            assert (await sign_in(user, VISITOR)).status_code == 200
        statuses = [answer.status_code for answer in await asyncio.gather(*flood)]
        assert set(statuses) <= {201, 429, 503}
        assert MORE - statuses.count(503) <= statuses.count(429) <= MORE


async def test_a_try_that_the_server_is_too_busy_for_does_not_count(live: Served, admin: asyncpg.Connection) -> None:
    free = threading.Event()
    passwords._thread.submit(free.wait)  # noqa: SLF001 - what is waited for
    before = count("refusals_total", cause="queue")
    half = 20  # of the 40 that may wait
    waiting = [asyncio.create_task(verify(number)) for number in range(half + 1)]  # the first one has its turn
    waiting += [asyncio.create_task(store(number)) for number in range(half)]
    await asyncio.sleep(0)
    async with at(live, "192.0.2.1") as client:
        async with asyncio.timeout(passwords.PATIENCE_SECONDS / 2):  # at once
            answers = [await sign_in(client, VISITOR), await register(client)]
            too_long = await sign_in(client, VISITOR, TOO_LONG)  # nobody has it: it needs no turn
        free.set()
        await asyncio.gather(*waiting)
        assert [(answer.status_code, answer.json()["detail"]) for answer in answers] == [
            (503, "Too many sign in, or register, at this moment")
        ] * 2
        assert count("refusals_total", cause="queue") - before == 2
        assert too_long.status_code == 400
        assert await admin.fetchval("SELECT sum(count) FROM throttles") == 1 + 3  # the registration, the failure
        assert (await sign_in(client, VISITOR)).status_code == 200


@pytest.mark.usefixtures("limits_in_use")
@pytest.mark.parametrize(
    "ask", [sign_in, lambda client, email: register(client, email=email)], ids=["sign in", "register"]
)
async def test_where_too_many_wait_for_one_account_another_at_the_same_address_gets_in(
    live: Served,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[httpx.AsyncClient, str], Coroutine[None, None, httpx.Response]],
) -> None:
    monkeypatch.setattr(passwords, "_turns", Turns(1, 2))
    async with at(live, "192.0.2.1") as client:
        with hashing_held_up():
            crowd = [asyncio.create_task(ask(client, "crowd@zoo.example")) for _ in range(3)]
            while passwords._turns.waiting < 2:  # noqa: SLF001 - there is no other sign of it
                await asyncio.sleep(0)
            another = asyncio.create_task(ask(client, "another@zoo.example"))
            await asyncio.wait([*crowd, another], return_when=asyncio.FIRST_COMPLETED)
        answers = await asyncio.gather(another, *crowd)
    assert [answer.status_code == 503 for answer in answers].index(True) > 0


async def test_nobodys_mailbox_is_flooded(live: Served) -> None:
    for email in (VISITOR, "nobody@zoo.example"):  # both answers are the same
        statuses = []
        for number in range(4):
            async with at(live, f"192.0.2.{number}") as client:
                form = {"email": email if number % 2 else email.upper()}
                statuses.append((await client.post("/auth/forgot-password", json=form)).status_code)
        assert statuses == [202, 202, 202, 429]
    async with at(live, "203.0.113.1") as client:  # the other kind is counted separately
        assert (await client.post("/auth/request-verify-token", json={"email": VISITOR})).status_code == 202


async def test_no_client_sends_mail_to_everybody(live: Served, admin: asyncpg.Connection) -> None:
    paths = ["/auth/forgot-password", "/auth/request-verify-token"]
    async with at(live, "192.0.2.1") as client:
        asked = [(path, {"email": f"{number}@zoo.example"}) for number, path in enumerate(paths * 2)]
        statuses = [(await client.post(path, json=body)).status_code for path, body in asked[:2]]
        await admin.execute("UPDATE throttles SET count = 19 WHERE count = 2")  # as if 17 more had been sent
        statuses += [(await client.post(path, json=body)).status_code for path, body in asked[2:]]
    assert statuses == [202, 202, 202, 429]
    async with at(live, "192.0.2.2") as another:
        assert (await another.post(paths[0], json=asked[-1][1])).status_code == 202


@pytest.mark.usefixtures("real_hashes")
async def test_a_hash_takes_the_work_that_is_recommended() -> None:
    """OWASP's Password Storage Cheat Sheet: Argon2id with 19 MiB, 2 passes, 1 lane."""
    assert (await hash_password(PASSWORD)).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.usefixtures("limits_in_use", "real_hashes")
async def test_an_account_that_does_not_exist_takes_as_much_work(live: Served) -> None:
    async with at(live, "192.0.2.1") as client:
        await register(client)
        work: dict[str, list[float]] = {"amara@visitors.example": [], "nobody@visitors.example": []}
        for _ in range(3):
            for email, measured in work.items():
                before = time.process_time()
                assert (await sign_in(client, email, "wrong")).status_code == 400
                measured.append(time.process_time() - before)
    there, not_there = (statistics.median(measured) for measured in work.values())
    assert 1 / 3 < there / not_there < 3  # without hashing it is 6


@each(
    "host, counted_as",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
        ("testclient", ""),
        ("x" * 6_000, ""),
        ("192.0.2.1:80", ""),
        ("fe80::1%" + "x" * 6_000, "fe80::/64"),
        ("::ffff:192.0.2.1%" + "x" * 6_000, "192.0.2.1"),
        ("192.0.2.1\x00", ""),
        (" 192.0.2.1", ""),
        ("192.0.2.256", ""),
    ],
)
def test_an_ipv6_address_is_counted_as_its_network(host: str, counted_as: str) -> None:
    assert subscriber(host) == counted_as
