"""deploy/release --kubernetes: which calls of kubectl it makes, in which order, and what follows from their answers.

kubectl is real, what it speaks to is the stand-in of kubernetes_api.py: how pods and Jobs behave is not shown here.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.processes.cluster import Cluster, Object
from tests.processes.kubernetes_api import Handler, running

OLD, NEW = "0.3.0", "0.4.0"
EXPAND = f"run zoo-migrator-{NEW}: expand alembic upgrade head"
ROLL_OUT = f"roll out {NEW}"
COMMAND = f"run zoo-migrator-command-{NEW}: expand python -m alembic_online"
WAIT = f"{COMMAND} wait --rolled-out --timeout 90"
CONTRACT = f"run zoo-contract-{NEW}: contract alembic upgrade head"
MORE = json.dumps({"spec": {"replicas": 3}})
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "%s"}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
users: [{name: test, user: {}}]
"""


class Reader:
    """Somebody who changes an overlay, and rolls it out."""

    def __init__(self, api: type[Handler], folder: Path) -> None:
        self.cluster: Cluster = api.cluster
        self.deploy = folder / "deploy"
        shutil.copytree(ROOT / "deploy", self.deploy)
        self.overlay = self.deploy / "kubernetes" / "overlays" / "local"
        (folder / "config").write_text(KUBECONFIG % api.url)
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder.parent),  # where kubectl keeps what the API has
            "KUBECONFIG": str(folder / "config"),
            "OVERLAY": str(self.overlay),
            "GOGC": "off",  # kubectl would spend a quarter of its work on looking for garbage
        }

    def name(self, release: str) -> None:
        path = self.overlay / "kustomization.yaml"
        path.write_text(re.sub(r"\[release=[^]]*\]", f"[release={release}]", path.read_text()))

    def run(self, *command: str | Path, **settings: str) -> tuple[int, str]:
        """The exit code of a command, and what it says; afterwards, `calls` has what it has changed."""
        self.cluster.calls.clear()
        done = subprocess.run(
            command, env=self.environment | settings, capture_output=True, text=True, check=False, timeout=120
        )
        return done.returncode, done.stdout + done.stderr

    def release(self, *arguments: str, **settings: str) -> tuple[int, str]:
        return self.run(self.deploy / "release", "--kubernetes", *arguments, **settings)


@pytest.fixture(scope="module")
def api() -> Iterator[type[Handler]]:
    """One for all tests, each of which has a cluster of its own."""
    with running() as api:
        yield api


@pytest.fixture(scope="module")
def first(api: type[Handler], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Object]:
    """What is in a cluster after the first release."""
    api.cluster = Cluster({})
    reader = Reader(api, tmp_path_factory.mktemp("first"))
    reader.name(OLD)
    code, said = reader.run("kubectl", "apply", "-k", reader.overlay)
    assert code == 0, said
    return reader.cluster.objects


@dataclass(frozen=True)
class Released:
    """How the second release went, and what is in the cluster since."""

    code: int
    said: str
    calls: list[str]
    objects: dict[str, Object]


@pytest.fixture(scope="module")
def released(api: type[Handler], first: dict[str, Object], tmp_path_factory: pytest.TempPathFactory) -> Released:
    api.cluster = Cluster(first)
    reader = Reader(api, tmp_path_factory.mktemp("released"))
    reader.name(NEW)
    code, said = reader.release(NEW)
    assert code == 0, said
    return Released(code, said, reader.cluster.calls, reader.cluster.objects)


@pytest.fixture(scope="module")
def taken_back(api: type[Handler], first: dict[str, Object], tmp_path_factory: pytest.TempPathFactory) -> Released:
    """It was there with other settings already, and is not ready with these either."""
    api.cluster = Cluster(first)
    reader = Reader(api, tmp_path_factory.mktemp("taken-back"))
    reader.name(NEW)
    reader.cluster.broken = {NEW}
    reader.run("kubectl", "apply", "-k", reader.overlay)
    path = reader.overlay / "kustomization.yaml"
    path.write_text(path.read_text().replace("- ENVIRONMENT=local", "- ENVIRONMENT=local\n      - LOG_FORMAT=text", 1))
    code, said = reader.release(NEW, READY_SECONDS="1")
    return Released(code, said, reader.cluster.calls, reader.cluster.objects)


@pytest.fixture
def reader(api: type[Handler], first: dict[str, Object], tmp_path: Path) -> Reader:
    """After the first release, with the next one named in the overlay."""
    api.cluster = Cluster(first)
    reader = Reader(api, tmp_path)
    reader.name(NEW)
    return reader


@pytest.fixture
def later(api: type[Handler], released: Released, tmp_path: Path) -> Reader:
    """After the second release."""
    api.cluster = Cluster(released.objects)
    reader = Reader(api, tmp_path)
    reader.name(NEW)
    return reader


def test_the_steps_follow_each_other(released: Released) -> None:
    assert released.calls == [EXPAND, ROLL_OUT, WAIT, CONTRACT]
    rolled_out = f"rolled out: release {NEW}\n  zoo-api-1: {NEW}, ready: True\n  zoo-api-2: {NEW}, ready: True\n"
    assert rolled_out in released.said


def test_a_second_run_begins_each_job_again_and_each_pod_of_a_pooler_is_told_what_it_has_changed(later: Reader) -> None:
    later.cluster.logs["migrator"] = (
        "what statements return has changed: a pooler needs RECONNECT changed=['animals']\n"
    )
    later.cluster.have_failed("zoo-migrator-command", "zoo-contract")
    later.cluster.exit_codes = {"zoo-contract": [5]}
    for name in ("zoo-pooler-1", "zoo-pooler-2"):
        meta = {"name": name, "namespace": "zoo", "labels": {"cnpg.io/poolerName": "zoo-pooler"}}
        spec = {"containers": [{"name": "pgbouncer"}]}
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": spec, "status": {"phase": "Running"}}
        later.cluster.add_pod(pod)
    code, said = later.release(NEW)
    assert code == 5, said
    # The Jobs are begun again all the same: what was done then may be undone, or no longer allowed, or mended.
    told = [f"in {name}: psql -c RECONNECT" for name in ("zoo-pooler-1", "zoo-pooler-2")]
    begun = [[f"delete zoo-{job}-{NEW}", call, *told] for job, call in
             (("migrator", EXPAND), ("migrator-command", WAIT), ("contract", CONTRACT))]  # fmt: skip
    assert later.cluster.calls == [call for calls in begun for call in calls]
    assert "pod/zoo-pooler-1 was not told: it needs RECONNECT" in said  # because the stand-in refuses


def test_a_dry_run_shows_the_plan_and_changes_nothing(reader: Reader) -> None:
    code, said = reader.release("--dry-run", NEW)
    assert code == 0, said
    assert reader.cluster.calls == [f"{COMMAND} plan"]
    assert f"release {NEW} would be rolled out" in said


def test_one_that_is_not_ready_in_time_is_taken_back_to_the_release_of_before(taken_back: Released) -> None:
    assert taken_back.code == 1, taken_back.said
    assert taken_back.calls == [f"delete zoo-migrator-{NEW}", EXPAND, ROLL_OUT, f"roll out {OLD}"]
    assert f"taken back: release {NEW} was not ready in time" in taken_back.said
    assert f"  zoo-api-1: {OLD}, ready: True\n" in taken_back.said


def test_the_way_back_asks_the_migrator_though_it_has_run_for_that_release(later: Reader) -> None:
    later.name(OLD)
    later.cluster.exit_codes = {f"zoo-migrator-{OLD}": [6]}
    code, said = later.release(OLD)
    assert code == 6, said
    expand = EXPAND.replace(NEW, OLD)
    assert later.cluster.calls == [f"delete zoo-migrator-{OLD}", expand]


def test_a_contract_that_is_at_work_goes_on_while_the_same_release_is_rolled_out_again(later: Reader) -> None:
    later.cluster.put_to_work(f"zoo-contract-{NEW}")
    code, said = later.release(NEW, MIGRATION_SECONDS="1")
    assert code == 5, said
    assert f"zoo-contract-{NEW} is still at work" in said
    assert not [call for call in later.cluster.calls if "contract" in call]


def test_a_job_that_is_at_work_with_other_settings_is_not_taken_for_the_one_that_is_wanted(reader: Reader) -> None:
    reader.cluster.endless = {"zoo-migrator": {"running": {}}}
    assert reader.release(NEW, MIGRATION_SECONDS="1")[0] == 5
    path = reader.overlay / "kustomization.yaml"
    path.write_text(path.read_text() + "\nimages: [{name: zoo-migrator, newName: registry.example/zoo-migrator}]\n")
    code, said = reader.release(NEW)
    assert code == 3, said
    assert f"zoo-migrator-{NEW} is at work with other settings: wait for it, or delete it" in said
    assert reader.cluster.calls == []


def test_after_contract_none_is_taken_back(later: Reader) -> None:
    later.cluster.broken = {NEW}
    later.run("kubectl", "patch", "--namespace", "zoo", "deployment/zoo-api", "--patch", MORE)
    code, said = later.release(NEW, READY_SECONDS="1")
    assert code == 1, said
    assert "not taken back" in said
    assert later.cluster.calls == [f"delete zoo-migrator-{NEW}", EXPAND]


def test_if_a_job_fails_nothing_follows_and_the_roles_script_is_shown_before_the_migrator(reader: Reader) -> None:
    reader.cluster.logs["roles"] = "zoo_api keeps its password\n"
    path = reader.overlay / "kustomization.yaml"
    roles = [{"op": "add", "path": "/spec/template/spec/initContainers", "value": [{"name": "roles"}]}]
    patches = [{"target": {"kind": "Job"}, "patch": json.dumps(roles)}]
    path.write_text(f"{path.read_text()}\npatches: {json.dumps(patches)}\n")
    reader.cluster.exit_codes = {"zoo-migrator": [1]}
    code, said = reader.release(NEW)
    assert code == 1, said
    assert "zoo_api keeps its password\nthe migrator's log\nnot rolled out" in said
    assert reader.cluster.calls == [EXPAND]


def test_a_job_that_does_not_start_is_waited_for_as_long_as_a_pod_and_the_reason_is_said(reader: Reader) -> None:
    reader.cluster.endless = {"zoo-migrator-0": {"waiting": {"reason": "ImagePullBackOff"}}}
    code, said = reader.release(NEW, READY_SECONDS="1")
    assert code == 4, said
    assert "ImagePullBackOff" in said
    assert reader.cluster.calls == [EXPAND]


def test_after_it_was_taken_back_all_begins_anew_and_a_job_that_does_not_end_is_left_at_work(
    reader: Reader, taken_back: Released
) -> None:
    reader.cluster.objects = Cluster(taken_back.objects).objects
    reader.cluster.endless = {"zoo-migrator-command": {"running": {}}}
    code, said = reader.release(NEW, MIGRATION_SECONDS="1")
    assert code == 5, said
    assert "the migrator's log\nzoo-migrator-command-0.4.0 is still at work after 1 s; it goes on" in said
    assert reader.cluster.calls == [f"delete zoo-migrator-{NEW}", EXPAND, ROLL_OUT, WAIT]
    code, said = reader.release("--dry-run", NEW, MIGRATION_SECONDS="1")
    assert code == 5, said
    assert "waiting for zoo-migrator-command-0.4.0" in said
    assert reader.cluster.calls == []


def test_it_does_not_begin_with_an_overlay_of_another_release(reader: Reader) -> None:
    code, said = reader.release("0.5.0")
    assert code == 3
    assert "is of another release: write release=0.5.0 into its kustomization.yaml" in said
    assert reader.cluster.calls == []


def test_it_does_not_begin_while_another_one_is_at_work_on_this_machine(reader: Reader) -> None:
    lock = os.open(reader.deploy, os.O_RDONLY)  # of the folder, because a checkout replaces files
    fcntl.flock(lock, fcntl.LOCK_EX)
    code, said = reader.release("--dry-run", NEW, LOCK_SECONDS="0")
    os.close(lock)
    assert code == 5
    assert "another deploy/release is still at work" in said
    assert reader.cluster.calls == []


def test_it_does_not_begin_without_a_cluster(reader: Reader) -> None:
    code, said = reader.release(NEW, KUBECONFIG="/nowhere")
    assert code == 4
    assert "the cluster does not answer" in said
