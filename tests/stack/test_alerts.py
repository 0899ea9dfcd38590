"""What is broken is told, its runbook leads to the cause, and it is told no more once it is mended."""

import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import httpx
import pytest

from api.database.engine import SCHEMA_REVISION
from tests.conftest import ROOT
from tests.docs.documents import section
from tests.rounds import ROUNDS, rounds
from tests.stack.drill import firewall
from tests.stack.observed import (
    PATIENCE_FOR_ALERTS,
    alerts,
    commands,
    is_told,
    raised,
    run,
    run_part,
    until,
    without_data,
)
from tests.stack.stack import PATIENCE, Stack, docker

Way = Callable[[Stack], AbstractContextManager[object]]


READ, WRITE = ("GET", "/animals"), ("POST", "/animals")
ELSEWHERE = ("GET", "/exhibits")


@contextmanager
def clients(
    stack: Stack, number: int = 8, asked: Sequence[tuple[str, str]] = (READ, WRITE), pause: float = 0.25
) -> Iterator[None]:
    """Clients that ask for these in turn, each from another one on, until the block ends, whatever they are answered.

    `pause` is in seconds, before each request.
    """
    ended = threading.Event()

    def ask(first: int) -> None:
        with httpx.Client(base_url=stack.address, timeout=PATIENCE, headers=headers) as client:
            for method, path in islice(cycle(asked), first, None):
                if ended.wait(pause):
                    return
                try:
                    client.request(method, path, json={"name": "Amara"} if method == "POST" else None)
                except httpx.TransportError:
                    ended.wait(0.5)

    headers = stack.headers
    with ThreadPoolExecutor(number) as threads:
        tasks = [threads.submit(ask, each * len(asked) // number) for each in range(number)]
        try:
            yield
        finally:
            ended.set()
            for task in tasks:
                task.result()


@contextmanager
def killed(stack: Stack, service: str) -> Iterator[None]:
    """Killed, and not started again."""
    docker("kill", stack.container(service))
    try:
        yield
    finally:
        stack.compose("up", "--detach", "--no-deps", "--wait", service)


@contextmanager
def at_work(stack: Stack, statement: str) -> Iterator[None]:
    """A session of the superuser runs the statement until the block ends."""
    running = subprocess.Popen(
        ["docker", "exec", stack.container("db"), "psql", "-U", "postgres", "-d", "zoo", "-c", statement],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        theirs = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        stack.sql("postgres", f"{theirs} AND application_name = 'psql' AND query LIKE '%LOCK TABLE%'")
        running.wait(timeout=60)


@contextmanager
def locked(stack: Stack) -> Iterator[None]:
    """Somebody holds a table, and many want to read it."""
    with at_work(stack, "BEGIN; LOCK TABLE animals; SELECT pg_sleep(600)"), clients(stack, 60):
        yield


@contextmanager
def locked_again_and_again(stack: Stack) -> Iterator[None]:
    """Somebody holds a table most of the time, but never so long that anything fails."""
    statement = "DO 'BEGIN LOOP LOCK TABLE animals; PERFORM pg_sleep(.8); COMMIT; PERFORM pg_sleep(.1); END LOOP; END'"
    with at_work(stack, statement), clients(stack):
        yield


def lacking_a_right(stack: Stack) -> AbstractContextManager[None]:
    """What the api may not read any more is seldom asked for."""
    return set_to(stack, "REVOKE SELECT ON exhibits FROM zoo_api", "GRANT SELECT ON exhibits TO zoo_api")


@contextmanager
def failing_slowly(stack: Stack) -> Iterator[None]:
    """Of 250 requests one fails, and the others do not."""
    with lacking_a_right(stack), clients(stack, asked=[*[READ] * 249, ELSEWHERE]):
        yield


@contextmanager
def failing_quietly(stack: Stack) -> Iterator[None]:
    """There are few requests, and all of them fail."""
    with lacking_a_right(stack), clients(stack, 1, [ELSEWHERE], pause=12):
        yield


@contextmanager
def waiting_for_contract(stack: Stack) -> Iterator[None]:
    """A release is at work everywhere, and its last step was left out."""
    with tempfile.TemporaryDirectory() as folder:
        revision, override = Path(folder, "contract.py"), Path(folder, "compose.yml")
        revision.write_text(
            f'"""Contract."""\nfrom alembic import op\nrevision = "left_out"\ndown_revision = "{SCHEMA_REVISION}"\n'
            'phase = "contract"\nsafe_from_release = "99.0.0"\n'
            'def upgrade():\n    op.execute("DROP TABLE old")\ndef downgrade():\n    pass\n'
        )
        Path(folder).chmod(0o755)  # for the user in the containers
        volumes = {"volumes": [f"{revision}:/app/migrator/versions/2099_01_01_0000-contract.py:ro"]}
        release = {"environment": {"RELEASE": "99.0.0"}}
        services = {"migrator": volumes, "exporter": volumes | release, "api": release}
        override.write_text(json.dumps({"services": services}))
        stack.sql("zoo_migrator", "CREATE TABLE old ()")
        with stack.changed(override):
            stack.compose("up", "--detach", "--no-deps", "--wait", "exporter", "api")
            try:
                yield
            finally:
                back = ["alembic", "downgrade", SCHEMA_REVISION]
                stack.compose("run", "--rm", "--no-deps", "--no-TTY", "migrator", *back)
        stack.compose("up", "--detach", "--no-deps", "--wait", "exporter", "api")


def cut_off(stack: Stack) -> AbstractContextManager[None]:
    """The network drops what the api sends to Postgres."""
    networks = stack.inspect("api")["NetworkSettings"]["Networks"]
    (address,) = (found["IPAddress"] for name, found in networks.items() if name.endswith("_database"))
    return firewall(stack, "db", "INPUT", "--protocol", "tcp", "--dport", "5432", "--source", address, "--jump", "DROP")


@contextmanager
def set_to(stack: Stack, done: str, undone: str, service: str = "db") -> Iterator[None]:
    """A statement of the superuser, and the one that takes it back."""
    psql = ["psql", "--no-psqlrc", "--username=postgres", "--dbname=zoo"]
    for statement in done.split("; "):
        stack.exec(service, *psql, f"--command={statement}")
    try:
        yield
    finally:
        for statement in undone.split("; "):
            stack.exec(service, *psql, f"--command={statement}")


@contextmanager
def read_only(stack: Stack) -> Iterator[None]:
    """As after a failover, while clients write."""
    switch = "ALTER SYSTEM {} default_transaction_read_only{}; SELECT pg_reload_conf()"
    with clients(stack), set_to(stack, switch.format("SET", " = on"), switch.format("RESET", "")):
        yield


@dataclass(frozen=True)
class Fault:
    """What is done to a stack, the alert that tells it, and what its runbook's commands then show."""

    alert: str
    broken: Way
    shows: str
    seconds: float = PATIENCE_FOR_ALERTS


POOL_EXHAUSTED = Fault("PoolExhausted", locked, r"LOCK TABLE animals")
FAULTS = [
    # What is told if nothing else has failed before.
    Fault("ApiFailingQuietly", failing_quietly, r"/exhibits"),
    Fault("ApiFailingSlowly", failing_slowly, r"/exhibits"),
    Fault("ApiSlow", locked_again_and_again, r"LOCK TABLE animals"),
    POOL_EXHAUSTED,
    Fault("ApiNotReady", cut_off, r"db:5432: 11"),
    Fault("ApiDown", lambda stack: killed(stack, "api"), r"Exited \(137\)"),
    Fault("TargetDown", lambda stack: killed(stack, "exporter"), r"exporter.*Exited \(137\)"),
    Fault("ApiFailing", read_only, r"read-only"),
    Fault(
        "ReplicaBehind",
        lambda stack: set_to(stack, "SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()", "db-replica"),
        r"\n paused ",
    ),
    Fault(
        "BackfillStandsStill",
        lambda stack: set_to(
            stack,
            "INSERT INTO migration_backfills (revision, definition, table_name, rows_seen, rows_estimated, batch_size,"
            " updated_at) VALUES ('abc', 'x', 'animals', 500, 2000, 100, now() - interval '1 hour')",
            "DELETE FROM migration_backfills WHERE revision = 'abc'",
        ),
        r"interrupted",
    ),
    Fault("ContractWaiting", waiting_for_contract, r"left_out", seconds=900),
]  # fmt: skip


def test_each_panel_of_the_dashboards_has_data(observed: Stack) -> None:
    with clients(observed):
        assert without_data(observed, "api", "database", "migrations") == set()


def test_with_nothing_broken_only_the_watchdog_and_the_lack_of_a_backup_are_told(observed: Stack) -> None:
    until(lambda: alerts(observed).keys() == {"Watchdog", "BackupTooOld"})


def are_told(stack: Stack, names: set[str]) -> bool:
    """Whether these are, and no other."""
    return alerts(stack).keys() == names


def test_what_follows_from_another_alert_or_says_the_same_is_not_told_beside_it(observed: Stack) -> None:
    always = {"Watchdog", "BackupTooOld"}
    stay = {"ApiDown", "BackfillStandsStill", "ContractWaiting", "DatabaseDown", "OrdersNeedAttention", "TargetDown"}
    targets = [{"alertname": "TargetDown", "job": job} for job in ("api", "exporter")]
    every = [{"alertname": path.stem} for path in (ROOT / "docs" / "runbooks").iterdir() if path.stem not in always]
    with raised(observed, *every):
        until(lambda: alerts(observed).keys() == always | stay)
    with raised(observed, {"alertname": "DatabaseDown"}, {"alertname": "ApiDown"}, *targets):
        until(lambda: alerts(observed).keys() == always | {"DatabaseDown", "ApiDown"})
    with raised(observed, {"alertname": "DatabaseDown"}, targets[0]):
        until(lambda: alerts(observed).keys() == always | {"DatabaseDown", "TargetDown"})
    failing = [{"alertname": f"ApiFailing{how}"} for how in ("", "Slowly", "Quietly")]
    for first in range(3):
        with raised(observed, *failing[first:]):
            loudest = always | {failing[first]["alertname"]}
            until(partial(are_told, observed, loudest))
    until(lambda: alerts(observed).keys() == always)


def test_the_document_leads_from_nothing_to_the_alert_that_a_killed_database_raises_and_to_its_end(
    observed: Stack,
) -> None:
    export, up, kill, ask, *others = commands(section(ROOT / "docs" / "observability.md", "## On one machine"))
    assert export == "export COMPOSE_FILE=docker-compose.yml:docker-compose.observe.yml"  # which the stack's has, too
    run(observed, up.replace(" --build", ""))
    run(observed, kill)
    try:
        until(lambda: "DatabaseDown" in alerts(observed))
        assert re.search(r"^DatabaseDown .* active *$", run(observed, ask), re.MULTILINE)
        assert re.search(r"Exited \(137\)", run_part(observed, "DatabaseDown", "What to look at"))
        until(lambda: "ApiNotReady" not in alerts(observed))  # which follows from it
    finally:
        for command in others:
            run(observed, command)
    until(lambda: "DatabaseDown" not in alerts(observed))


@pytest.mark.parametrize("fault", rounds(quick=[POOL_EXHAUSTED], full=FAULTS), ids=lambda fault: fault.alert)
def test_a_fault_is_told_its_runbook_leads_to_the_cause_and_it_is_told_no_more_once_it_is_over(
    observed: Stack, fault: Fault
) -> None:
    with fault.broken(observed):
        is_told(observed, fault.alert, fault.shows, fault.seconds)
    until(lambda: fault.alert not in alerts(observed), fault.seconds)


@pytest.mark.skipif(ROUNDS != "full", reason="it makes a backup, and asks for ROUNDS=full")
def test_that_there_is_no_backup_is_told_until_one_is_saved(observed: Stack) -> None:
    until(lambda: "BackupTooOld" in alerts(observed))
    run_part(observed, "BackupTooOld", "What to look at")
    assert "saved: " in run_part(observed, "BackupTooOld", "What to do")
    until(lambda: "BackupTooOld" not in alerts(observed))
