"""The stack as `docker compose up` makes it."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from api.database.engine import SCHEMA_REVISION
from tests.conftest import ROOT
from tests.docs.documents import section
from tests.rounds import STALL, rounds
from tests.stack.drill import workers
from tests.stack.fuzzing import fuzz
from tests.stack.observed import until
from tests.stack.stack import PREFIX, RELEASE, Stack, docker

LOAD = ROOT / "tests" / "stack" / "load.py"
CLIENTS = rounds(quick=8, full=32)  # none may be refused, and a starved machine answers a few in 2 s


def test_on_a_new_stack_the_migrator_succeeds_before_the_api_starts(new_stack: Stack) -> None:
    stack = new_stack
    migrator, api = stack.inspect("migrator")["State"], stack.inspect("api")
    assert (migrator["Status"], migrator["ExitCode"]) == ("exited", 0)
    assert migrator["FinishedAt"] < api["State"]["StartedAt"]
    assert "applying" in stack.compose("logs", "migrator").stdout
    assert stack.get("/health/ready").json()["status"] == "OK"
    # Published on this machine only.
    assert api["NetworkSettings"]["Ports"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}]}


def test_metrics_are_there_as_the_document_says(observed: Stack) -> None:
    """On a stack that has both already, by docker-compose.observe.yml; without it, the api gets the port, too."""
    config = json.loads(Stack(METRICS_PORT="9100").compose("config", "--format", "json").stdout)
    assert config["services"]["api"]["environment"]["METRICS_PORT"] == "9100"

    def printed(title: str) -> str:
        """What the commands of a section print."""
        text = section(ROOT / "docs" / "observability.md", title)
        commands = "\n".join(re.findall(r"^\$ (.*)", text, re.MULTILINE))
        environment = observed.environment | observed.names
        return subprocess.check_output(["bash", "-euc", commands], cwd=ROOT, env=environment, text=True)

    assert "# TYPE http_request_duration_seconds histogram\n" in printed("## Metrics")
    # The exporter looks every 15 seconds, and another test may just have stopped the database.
    until(lambda: "\nalembic_online_up 1.0\n" in printed("## The migrator's"))


class TestService:
    @pytest.mark.parametrize("path", ["/exhibits", "/animals"])
    def test_records_are_created_changed_listed_and_deleted(self, stack: Stack, path: str) -> None:
        with stack.client() as client:
            made = client.post(path, json={"name": "Amara"})
            assert made.status_code == 201
            url = made.headers["Location"]
            assert client.patch(url, json={"name": "Zuri"}).json()["name"] == "Zuri"
            assert "Zuri" in [record["name"] for record in client.get(path).json()]
            assert client.delete(url).json()["deleted_at"]
            assert client.get(url).status_code == 404

    def test_data_survives_new_containers(self, stack_to_change: Stack) -> None:
        stack = stack_to_change
        with stack.client() as client:
            url = client.post("/animals", json={"name": "Survivor"}).raise_for_status().headers["Location"]
        stack.compose("down")
        stack.compose("up", "--detach", "--wait")
        assert stack.get(url).json()["name"] == "Survivor"

    def test_csv_files_are_loaded_through_standard_input(self, stack: Stack) -> None:
        command = ["run", "--rm", "--no-TTY", "--no-deps", "api", "python", "-m", "api", "import", "animals", "-"]
        done = stack.compose(*command, input="name,species\nFrom a file,Lemur catta\n")
        assert done.stdout == "1 animals loaded\n"
        assert stack.get("/animals", params={"name": "From a file"}).json()

    def test_no_request_gets_an_answer_that_the_openapi_document_does_not_describe(
        self, stack: Stack, tmp_path: Path
    ) -> None:
        fuzz(stack, tmp_path)


class TestSeed:
    def test_a_new_stack_has_animals_before_it_serves(self, bare_stack: Stack) -> None:
        with bare_stack.changed(COMPOSE_PROFILES="seed"):
            bare_stack.compose("up", "--detach", "--wait")
            assert len(bare_stack.get("/animals").json()) == 69
            assert "69 animals" in bare_stack.compose("logs", "seed").stdout
            host = bare_stack.inspect("seed")["HostConfig"]
            assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])

    def test_one_that_fails_keeps_nobody_from_the_api(self, bare_stack: Stack, tmp_path: Path) -> None:
        override = tmp_path / "compose.yml"
        override.write_text(json.dumps({"services": {"seed": {"command": ["false"]}}}))
        with bare_stack.changed(override, COMPOSE_PROFILES="seed"):
            bare_stack.compose("up", "--detach")
            bare_stack.compose("up", "--detach", "--wait", "--no-deps", "api")
            assert bare_stack.inspect("seed")["State"]["ExitCode"] == 1
            assert bare_stack.get("/animals").json() == []


class TestMigrator:
    def test_a_migration_that_fails_keeps_the_api_down_and_says_why(self, bare_stack: Stack, tmp_path: Path) -> None:
        stack = bare_stack
        revision = tmp_path / "fails.py"
        revision.write_text(
            f'"""Fails."""\nfrom alembic import op\nrevision = "bad"\ndown_revision = "{SCHEMA_REVISION}"\n'
            'def upgrade():\n    op.execute("ALTER TABLE unicorns ADD COLUMN horn text")\n'
        )
        override = tmp_path / "compose.yml"
        volume = f"{revision}:/app/migrator/versions/2099_01_01_0000-fails.py:ro"
        override.write_text(json.dumps({"services": {"migrator": {"volumes": [volume]}}}))
        with stack.changed(override):
            assert stack.compose("up", "--detach", "--wait", check=False).returncode != 0
            assert stack.inspect("migrator")["State"]["ExitCode"] != 0
            assert stack.inspect("api")["State"]["Status"] == "created"
            assert 'relation "unicorns" does not exist' in stack.compose("logs", "migrator").stdout

    def test_sigterm_ends_a_run_with_143_within_5_s_and_the_next_up_finishes_it(
        self, bare_stack: Stack, tmp_path: Path
    ) -> None:
        stack = bare_stack
        revision = tmp_path / "slow.py"
        body = (
            f'"""Slow."""\nfrom alembic import op\nrevision = "slow"\ndown_revision = "{SCHEMA_REVISION}"\n'
            'def upgrade():\n    op.execute("CREATE TABLE half_way ()")\n'
        )
        revision.write_text(f'{body}    op.execute("SELECT pg_sleep(50)")\n')
        override = tmp_path / "compose.yml"
        volume = f"{revision}:/app/migrator/versions/2099_01_01_0000-slow.py:ro"
        override.write_text(json.dumps({"services": {"migrator": {"volumes": [volume]}}}))
        with stack.changed(override):
            stack.compose("up", "--detach", "--no-deps", "migrator")
            sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(50)' AND state = 'active'"
            until(lambda: stack.sql("postgres", sleeping).stdout == "1\n", 120)
            began = time.monotonic()
            docker("stop", "--time", "20", stack.container("migrator"))
            assert time.monotonic() - began < 5 + STALL
            assert stack.inspect("migrator")["State"]["ExitCode"] == 143
            assert "stopped by SIGTERM" in stack.compose("logs", "migrator").stdout
            assert stack.sql("postgres", sleeping).stdout == "0\n"
            assert stack.sql("postgres", "SELECT to_regclass('half_way') IS NULL").stdout == "t\n"
            revision.write_text(body)
            stack.compose("up", "--detach", "--wait")
            assert stack.sql("postgres", "SELECT version_num FROM alembic_version").stdout == "slow\n"
            assert stack.get("/health/ready").status_code == 200

    def test_a_contract_revision_is_rehearsed_but_not_applied_while_an_older_api_is_connected(
        self, bare_stack: Stack, tmp_path: Path
    ) -> None:
        stack = bare_stack
        revision = tmp_path / "contract.py"
        revision.write_text(
            f'"""Contract."""\nimport sqlalchemy as sa\nfrom alembic import op\n'
            f'revision = "contract"\ndown_revision = "{SCHEMA_REVISION}"\n'
            'phase = "contract"\nsafe_from_release = "99.0.0"\n'
            'def upgrade():\n    op.drop_column("staff", "notes")\n'
            'def downgrade():\n    op.add_column("staff", sa.Column("notes", sa.Text))\n'
        )
        override = tmp_path / "compose.yml"
        volume = f"{revision}:/app/migrator/versions/2099_01_01_0000-contract.py:ro"
        override.write_text(json.dumps({"services": {"migrator": {"volumes": [volume]}}}))
        with stack.changed(override, MIGRATOR_PHASE="expand"):

            def migrator(*command: str, phase: str = "all") -> "subprocess.CompletedProcess[str]":
                run = ["run", "--rm", "--no-TTY", "--no-deps", "--env", f"MIGRATOR_PHASE={phase}", "migrator"]
                return stack.compose(*run, *command, check=False)

            assert migrator("alembic", "upgrade", SCHEMA_REVISION).returncode == 0
            stack.compose("up", "--detach", "--wait")
            assert stack.get("/health/ready").status_code == 200  # though that revision is pending
            tool = "python -m alembic_online"
            rehearsed = migrator("sh", "-c", f"{tool} lint && {tool} rehearse --sample 10")
            assert "up again" in rehearsed.stdout, rehearsed.stderr
            assert stack.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname ~ 'rehearsal'").stdout == "0\n"
            refused = migrator("alembic", "upgrade", "head")
            assert refused.returncode == 7, refused.stderr
            assert f"api@{RELEASE}" in refused.stderr
            stack.compose("stop", "api")
            assert migrator("alembic", "upgrade", "head").returncode == 0


class TestOutage:
    def test_the_api_survives_an_outage_of_the_database_without_a_restart(self, stack: Stack) -> None:
        before = stack.inspect("api")["State"]
        with stack.client() as client:
            url = client.post("/animals", json={"name": "Survivor"}).raise_for_status().headers["Location"]
            stack.compose("kill", "db")
            refused = client.get("/animals")
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert client.get("/health/db").status_code == 503
            assert client.get("/health").status_code == 200
            stack.compose("up", "--detach", "--wait", "db")
            assert client.get(url).json()["name"] == "Survivor"
            assert client.post("/animals", json={"name": "A"}).status_code == 201
        after = stack.inspect("api")
        assert (after["State"]["StartedAt"], after["RestartCount"]) == (before["StartedAt"], 0)


class TestStop:
    def test_requests_in_flight_are_answered(self, stack: Stack) -> None:
        body = json.dumps({"name": "In flight"}).encode()
        head = (
            f"POST /animals HTTP/1.1\r\nHost: zoo\r\nAuthorization: Bearer {stack.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        with ExitStack() as connections, ThreadPoolExecutor(1) as thread:
            address = ("127.0.0.1", stack.port)
            clients = [connections.enter_context(socket.create_connection(address, timeout=30)) for _ in range(10)]
            for client in clients:
                client.sendall(head + body[:5])
            time.sleep(1)  # they are read
            before = terminations(stack)
            stopped = thread.submit(stack.compose, "stop", "api")
            until(lambda: terminations(stack) > before, 120)
            for client in clients:
                client.sendall(body[5:])
            assert [client.recv(12) for client in clients] == [b"HTTP/1.1 201"] * 10
            stopped.result()
        assert stack.inspect("api")["State"]["ExitCode"] == 0

    def test_under_load_no_answer_is_lost(self, stack: Stack) -> None:
        for _ in range(rounds(quick=1, full=3)):
            stack.compose("up", "--detach", "--wait", "--no-deps", "api")
            with clients(stack, until_refused=True) as outcomes:
                stack.compose("stop", "api")
            assert outcomes.keys() == {"complete", "refused"}, outcomes
            assert outcomes["complete"] > CLIENTS
            assert outcomes["refused"] == CLIENTS

    def test_under_load_a_reload_loses_no_answer_either(self, stack: Stack) -> None:
        before = set(workers(stack))
        with clients(stack) as outcomes:
            docker("kill", "--signal", "HUP", stack.container("api"))
            until(lambda: len(now := workers(stack)) == len(before) and before.isdisjoint(now), 120)
        assert outcomes.keys() == {"complete"}, outcomes
        assert "Handling signal: hup" in stack.logs("api")


@contextmanager
def clients(stack: Stack, *, until_refused: bool = False) -> Iterator[dict[str, int]]:
    """Load on the api, from within its network namespace; after the block, the outcome of every request.

    It ends with the block, or else when no client gets a connection any more.
    """
    network = f"container:{stack.container('api')}"
    load = ["python3", "-c", LOAD.read_text(), str(CLIENTS)]
    command = ["docker", "run", "--rm", "--interactive", "--network", network, f"{PREFIX}api:{RELEASE}", *load]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(0.5)  # the queues fill
        outcomes: dict[str, int] = {}
        try:
            yield outcomes
        finally:
            if not until_refused:
                process.stdin.close()
        outcomes |= json.loads(process.stdout.read())


def terminations(stack: Stack) -> int:
    """How often the api was told to stop."""
    return stack.logs("api").count("Handling signal: term")


class TestSecurity:
    def test_the_apis_role_is_refused_ddl(self, stack: Stack) -> None:
        assert stack.sql("zoo_api", "SELECT current_user").stdout == "zoo_api\n"
        for statement in ("CREATE TABLE mine ()", "CREATE TEMP TABLE mine ()", "CREATE SCHEMA mine"):
            refused = stack.sql("zoo_api", statement, check=False)
            assert refused.returncode != 0
            assert "permission denied" in refused.stderr
        for statement in ("ALTER TABLE animals ADD x int", "DROP TABLE animals"):
            assert "must be owner of table animals" in stack.sql("zoo_api", statement, check=False).stderr

    def test_a_wrong_password_is_refused(self, stack: Stack) -> None:
        command = ["psql", "--host=db", "--username=zoo_api", "--dbname=zoo", "--command=SELECT 1"]
        refused = stack.exec("db", *command, check=False, PGPASSWORD="wrong")
        assert "password authentication failed" in refused.stderr
        migrator = ["run", "--rm", "--no-TTY", "--env", "MIGRATION_DATABASE_PASSWORD=wrong", "migrator"]
        done = stack.compose(*migrator, check=False)
        assert done.returncode == 4
        assert "password authentication failed" in done.stderr
