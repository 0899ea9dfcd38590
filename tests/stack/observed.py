"""A stack that is watched, with docker-compose.observe.yml, and whose alerts are sixty times as fast, or more."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT
from tests.docs.documents import section
from tests.ports import find_free_port
from tests.rounds import rounds
from tests.stack.stack import HERE, NO_STORAGE, PATIENCE, PREFIX, RELEASE, Stack, docker, running

OBSERVED = [f"{PREFIX}{name}:{RELEASE}" for name in ("prometheus", "alertmanager")]
# In ms, of the drill: docs/observability.md has them, too. A week of minutes would be hours.
UNITS = {"s": 1000 / 60, "m": 1000, "h": 60_000, "d": 60_000}
PATIENCE_FOR_ALERTS = 180  # seconds, on a busy machine; what waits for a week has to wait longer
# Of Debian testing, unpacked, because they need nothing but libc. Its release files may be older than they say they are
# valid for.
OFFICIAL = """
FROM debian:trixie-slim
RUN sed -i s/trixie/testing/ $(find /etc/apt/sources.list* -type f) && cd /tmp \\
    && apt-get -o Acquire::Check-Valid-Until=false update \\
    && apt-get download busybox-static prometheus promtool prometheus-alertmanager prometheus-postgres-exporter \\
    && for package in *.deb; do dpkg-deb --extract $package /; done && ln -s busybox /usr/bin/wget \\
    && rm -rf /tmp/* /var/lib/apt/lists/* \\
    && install -d -o nobody -g nogroup /prometheus /alertmanager
"""


def sped_up(text: str) -> str:
    """The rules, and how alerts are told, with windows, and times to wait, of a sixtieth; those of days are minutes."""

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}{int(int(found[2]) * UNITS[found[3]])}ms"

    return re.sub(r"(\[|for: |group_wait: |group_interval: )(\d+)([smhd])\b", shorter, text)


@contextmanager
def observed(folder: Path) -> Iterator[Stack]:
    """The stack, in the full form with a replica and a storage, until the block ends."""
    docker("build", "--tag", "zoo-tests-observe", "-", input=OFFICIAL)
    shutil.copytree(ROOT / "deploy" / "prometheus", folder / "prometheus")
    for name in ("alerts.yml", "alertmanager.yml"):
        path = folder / "prometheus" / name
        path.write_text(sped_up(path.read_text()))
    configuration = folder / "prometheus" / "prometheus.yml"
    configuration.write_text(re.sub(r"_interval: 15s", "_interval: 1s", configuration.read_text()))
    override = folder / "drill.yml"
    rules = folder / "prometheus"
    override.write_text(
        f"services:\n  prometheus: {{build: {{context: {rules}}}}}\n  alertmanager: {{build: {{context: {rules}}}}}\n"
    )
    # What only the full form asks for.
    more: tuple[Path, ...] = rounds(
        quick=(NO_STORAGE,), full=(ROOT / "docker-compose.read-replica.yml", HERE / "images-read-replica.yml")
    )
    ports = {f"{name}_PORT": str(find_free_port()) for name in ("PROMETHEUS", "ALERTMANAGER")}
    files = (ROOT / "docker-compose.observe.yml", HERE / "images-observe.yml", override)
    stack = Stack(*more, *files, MIGRATOR_WAIT_SECONDS="300")  # on a busy machine
    stack.environment |= ports | rounds(quick={"S3_UPLOAD_URL": ""}, full={})
    try:
        stack.compose("build", "prometheus", "alertmanager")
        with running(stack):
            yield stack
    finally:
        docker("image", "rm", "--force", *OBSERVED)


def query(stack: Stack, expression: str) -> list[Any]:
    """What Prometheus answers to it."""
    address = f"http://127.0.0.1:{stack.environment['PROMETHEUS_PORT']}/api/v1/query"
    answer = httpx.get(address, params={"query": expression}, timeout=PATIENCE)
    assert answer.is_success, f"{expression}: {answer.text}"
    found: list[Any] = answer.json()["data"]["result"]
    return found


def alerts(stack: Stack) -> dict[str, Any]:
    """The alerts that people are told of now, by name."""
    address = f"http://127.0.0.1:{stack.environment['ALERTMANAGER_PORT']}/api/v2/alerts"
    answer = httpx.get(address, params={"active": "true", "inhibited": "false"}, timeout=PATIENCE).raise_for_status()
    return {alert["labels"]["alertname"]: alert for alert in answer.json()}


@contextmanager
def raised(stack: Stack, *labels: dict[str, str]) -> Iterator[None]:
    """Alerts with these labels, as if Prometheus had them, until the block ends."""

    def say(ends: datetime) -> None:
        told = [{"labels": each, "endsAt": ends.isoformat()} for each in labels]
        address = f"http://127.0.0.1:{stack.environment['ALERTMANAGER_PORT']}/api/v2/alerts"
        httpx.post(address, json=told, timeout=PATIENCE).raise_for_status()

    say(datetime.now(UTC) + timedelta(hours=1))
    try:
        yield
    finally:
        say(datetime.now(UTC))


def until(condition: Callable[[], object], seconds: float = PATIENCE_FOR_ALERTS) -> float:
    """Wait until it holds; returns the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.5)  # most conditions ask a container, for which Docker starts a process
    return time.monotonic() - began


def without_data(stack: Stack, *dashboards: str) -> set[str]:
    """What panels of these dashboards ask Prometheus for, and still do not get after a while."""
    without = {
        target["expr"]
        for name in dashboards
        for panel in json.loads((ROOT / "deploy" / "grafana" / f"{name}.json").read_text())["panels"]
        for target in panel["targets"]
    }
    deadline = time.monotonic() + 120
    while without and time.monotonic() < deadline:
        time.sleep(0.5)
        without = {expression for expression in without if not query(stack, expression)}
    return without


def is_told(stack: Stack, alert: str, cause: str, seconds: float = PATIENCE_FOR_ALERTS) -> None:
    """Wait until people are told; its runbook then shows the cause, a regular expression, and all of it can be run."""
    until(lambda: alert in alerts(stack), seconds)
    told = alerts(stack)[alert]
    assert told["annotations"]["runbook"] == f"docs/runbooks/{alert}.md"
    assert "<error" not in told["annotations"]["summary"]
    assert re.search(cause, run_part(stack, alert, "What to look at"))
    run_part(stack, alert, "What to do")


def run_part(stack: Stack, alert: str, part: str) -> str:
    """Run all commands of this part of the alert's runbook to success; returns what they print."""
    text = section(ROOT / "docs" / "runbooks" / f"{alert}.md", f"## {part}")
    return "".join(f"$ {command}\n{run(stack, command)}" for command in commands(text))


def commands(text: str) -> list[str]:
    """The commands of a document, as people type them."""
    return re.findall(r"^\$ (.*)", text, re.MULTILINE)


def run(stack: Stack, command: str) -> str:
    """Run a command of a document to success; returns what it prints."""
    done = subprocess.run(
        ["bash", "-uc", command], cwd=ROOT, env=stack.environment | stack.names, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout
