"""What is broken is told, its runbook leads to the cause, and it is told no more once it is mended."""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.conftest import ROOT
from tests.docs.documents import section
from tests.rounds import ROUNDS, rounds
from tests.stack.drill import firewall
from tests.stack.observed import alerts, commands, is_told, run, run_part, until, without_data
from tests.stack.stack import PATIENCE, Stack, docker

Way = Callable[[Stack], AbstractContextManager[object]]


@contextmanager
def visitors(stack: Stack, number: int = 8) -> Iterator[None]:
    """Clients that read and write until the block ends, whatever they are answered."""
    ended = threading.Event()

    def visit(_: int) -> None:
        with httpx.Client(base_url=stack.address, timeout=PATIENCE, headers=headers) as client:
            while not ended.wait(0.5):
                for method, body in (("GET", None), ("POST", {"name": "Amara"})):
                    try:
                        client.request(method, "/animals", json=body)
                    except httpx.TransportError:
                        ended.wait(0.5)

    headers = stack.signed_in
    with ThreadPoolExecutor(number) as threads:
        tasks = [threads.submit(visit, each) for each in range(number)]
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
def locked(stack: Stack) -> Iterator[None]:
    """Somebody holds a table, and many want to read it."""
    lock = "BEGIN; LOCK TABLE animals; SELECT pg_sleep(600)"
    holder = subprocess.Popen(
        ["docker", "exec", stack.container("db"), "psql", "-U", "postgres", "-d", "zoo", "-c", lock],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with visitors(stack, 60):
            yield
    finally:
        stack.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'")
        holder.wait(timeout=60)


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
    with visitors(stack), set_to(stack, switch.format("SET", " = on"), switch.format("RESET", "")):
        yield


@dataclass(frozen=True)
class Fault:
    """What is done to a stack, the alert that tells it, and what its runbook's commands then show."""

    alert: str
    broken: Way
    shows: str


FAULTS = [
    Fault("PoolExhausted", locked, r"LOCK TABLE animals"),
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
]  # fmt: skip


def test_each_panel_of_the_dashboards_has_data(observed: Stack) -> None:
    with visitors(observed):
        assert without_data(observed, "api", "database", "migrations") == set()


def test_with_nothing_broken_only_the_watchdog_and_the_lack_of_a_backup_are_told(observed: Stack) -> None:
    until(lambda: alerts(observed).keys() == {"Watchdog", "BackupTooOld"})


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


@pytest.mark.parametrize("fault", rounds(quick=FAULTS[:1], full=FAULTS), ids=lambda fault: fault.alert)
def test_a_fault_is_told_its_runbook_leads_to_the_cause_and_it_is_told_no_more_once_it_is_over(
    observed: Stack, fault: Fault
) -> None:
    with fault.broken(observed):
        is_told(observed, fault.alert, fault.shows)
    until(lambda: fault.alert not in alerts(observed))


@pytest.mark.skipif(ROUNDS != "full", reason="it makes a backup, and asks for ROUNDS=full")
def test_that_there_is_no_backup_is_told_until_one_is_saved(observed: Stack) -> None:
    until(lambda: "BackupTooOld" in alerts(observed))
    run_part(observed, "BackupTooOld", "What to look at")
    assert "saved: " in run_part(observed, "BackupTooOld", "What to do")
    until(lambda: "BackupTooOld" not in alerts(observed))
