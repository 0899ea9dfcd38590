"""`python -m alembic_online exporter`: what Prometheus sees of the migrator."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families

from alembic_online.exporter import ABOUT
from alembic_online.runs.lock import LOCK_KEY
from local.postgres import Server
from tests.conftest import ROOT, alembic, superuser
from tests.faults.checkout import checkout_with
from tests.ports import find_free_port
from tests.python import Python

PATIENCE = 120  # seconds, on a busy machine
# It looks every 15 seconds; here, a test would only wait for that.
OFTEN = "import alembic_online.exporter; alembic_online.exporter.LOOK_EVERY_SECONDS = 0.5"
REVISIONS = {
    "column": "op.add_column('animals', sa.Column('common_name', sa.Text))",
    "names": "op.backfill('animals', {'common_name': 'name'})",
}


class Exporter:
    """What an exporter serves."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def read(self) -> dict[str, Any]:
        """Values by name; those that have labels as a list of both."""
        text = self.client.get("/metrics").raise_for_status().text
        found: dict[str, Any] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("alembic_online_")
                if sample.labels:
                    found.setdefault(name, []).append((sample.labels, sample.value))
                else:
                    found[name] = sample.value
        return found

    async def until(self, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        found: dict[str, Any] = {}
        while time.monotonic() < deadline:
            try:
                found = await asyncio.to_thread(self.read)
            except httpx.TransportError:
                found = {}
            if found and is_so(found):
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(found)


@contextmanager
def exporter(environment: dict[str, str], before: str, cwd: Path = ROOT) -> Iterator[Exporter]:
    """An exporter at work; the code `before` is run in its process before it starts."""
    port = find_free_port()
    code = (
        f"import sys; {before}; sys.argv[1:] = ['exporter', '--port', '{port}']\n"
        "from alembic_online.__main__ import app; app()"
    )
    with (
        # Loading certificates for TLS, which is not used, would take longer than all else.
        httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False) as client,
        Python("-c", code, env=os.environ | environment, cwd=cwd) as process,
    ):
        try:
            yield Exporter(client)
        finally:
            process.terminate()


async def test_where_there_is_no_ipv6_it_serves_by_ipv4(server: Server, empty_database: str) -> None:
    without = "from tests.without_ipv6 import forbid; forbid()"
    with exporter(server.environment(empty_database), without) as found:
        await found.until(lambda found: found["up"])


async def test_it_says_what_status_says_before_a_run_while_it_is_at_work_and_afterwards_and_follows_backfills(
    server: Server, database: str, admin: asyncpg.Connection, tmp_path: Path
) -> None:
    checkout, environment = checkout_with(tmp_path, **REVISIONS), server.environment(database)
    with exporter(environment, OFTEN, checkout) as exported:
        before = await exported.until(lambda found: "pending_revisions" in found)
        assert (before["up"], before["running"], before["pending_revisions"]) == (1, 0, 2)
        assert "drift_changes" not in before

        await admin.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)  # as a run does
        assert (await exported.until(lambda found: found.get("running")))["pending_revisions"] == 2
        await admin.execute("SELECT pg_advisory_unlock_all()")

        done = await asyncio.to_thread(alembic, environment, "upgrade", "head", cwd=checkout)
        assert done.returncode == 0, done.stderr
        one = "SELECT min(indexrelid) FROM pg_index WHERE indrelid = 'staff'::regclass AND NOT indisunique"
        await admin.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = ({one})")
        await admin.execute(
            "INSERT INTO migration_backfills (revision, definition, table_name, rows_seen, rows_estimated, batch_size)"
            " VALUES ('abc', 'x', 'animals', 500, 2000, 100)"
        )
        mine = {"revision": "abc", "table": "animals"}
        # The column, and the index, which is as good as missing; one look may have seen the one and not yet the other.
        after = await exported.until(
            lambda found: (
                (found.get("drift_changes"), found.get("invalid_indexes")) == (2, 1)
                and (mine, 500) in found.get("backfill_rows", [])
            )
        )
        assert after["pending_revisions"] == 0
        assert after["revision_info"] == [({"current": "names", "head": "names"}, 1)]
        ((move, at),) = after["last_move_timestamp_seconds"]
        assert move == {"revision": "names", "direction": "upgrade"}
        assert time.time() - 600 < at <= time.time()
        assert (mine, 2000) in after["backfill_rows_estimated"]
        states = {labels["revision"]: labels["state"] for labels, _ in after["backfill_info"]}
        assert states == {"names": "finished", "abc": "interrupted"}

        owner = await superuser(server)  # nobody gets in any more
        await owner.execute(f'ALTER DATABASE "{database}" WITH ALLOW_CONNECTIONS false')
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> $2",
            database,
            admin.get_server_pid(),
        )
        assert await exported.until(lambda found: not found["up"]) == {"up": 0}
        await owner.execute(f'ALTER DATABASE "{database}" WITH ALLOW_CONNECTIONS true')
        await owner.close()
        await exported.until(lambda found: found["up"])


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "observability.md").read_text()
    assert [name for name in ABOUT if f"`alembic_online_{name}`" not in text] == []
