"""deploy/release on Docker Swarm: releases under load, one of them broken; interrupted, refused."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from alembic_online.runs.lock import LOCK_KEY
from api.database.engine import SCHEMA_REVISION
from tests.faults.checkout import checkout_with
from tests.live.releases import CONTRACT, NEW, new_release
from tests.rounds import STALL, rounds
from tests.stack.deployments import Deployment, build_pgbouncer, build_release, deploy, remove_releases
from tests.stack.drill import ANIMALS, at_work, figures
from tests.stack.stack import PREFIX, RELEASE, docker
from tests.stack.swarm import STACK, Swarm, swarm

# A column NOT NULL, which the release before does not know; then NEW renames two; what comes then does not start.
FIRST, BROKEN, NEVER_READY = "0.3.1", "0.4.1", "0.4.2"
NICKNAMES = {
    "nickname": 'op.add_column("animals", sa.Column("nickname", sa.Text))\n'
    'op.alter_column("animals", "nickname", server_default="none")',
    "fill_nickname": 'op.backfill("animals", {"nickname": "name"}, where="nickname IS NULL")',
    "nickname_not_null": 'op.set_not_null_online("animals", "nickname")',
}
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'zoo_api'"
RELEASE_LOCK = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_advisory_lock%'"
# The lines after which deploy/release is killed. Swarm goes on with what it has begun.
MOMENTS = rounds(quick=["2. roll out"], full=["1. expand", "2. roll out", "3. wait", "4. contract"])
BEFORE = rounds(quick=[], full=[FIRST])  # which are rolled out before NEW


@pytest.fixture(scope="module")
def on_swarm(images: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:  # noqa: ARG001 - built before
    """The tests' release on a swarm, and images of the three that follow."""
    first = checkout_with(tmp_path_factory.mktemp("first"), **NICKNAMES)
    renamed = new_release(tmp_path_factory.mktemp("renamed"), NICKNAMES)
    versions, api = "COPY migrator/versions migrator/versions", "COPY api api"
    migrator = f"{versions}\nCOPY api/models api/models\nCOPY api/__init__.py api/__init__.py"
    try:
        build_release(FIRST, first, migrator=versions)
        build_release(NEW, renamed, api=api, migrator=migrator)
        build_release(BROKEN, renamed, api=f'{api}\nCMD ["false"]', migrator=migrator)
        build_release(NEVER_READY, renamed, api=f'{api}\nCMD ["sleep", "600"]', migrator=migrator)
        with swarm(tmp_path_factory.mktemp("swarm")) as stack:
            yield stack
    finally:
        remove_releases(FIRST, NEW, BROKEN, NEVER_READY)


@pytest.fixture(scope="module")
def pooled(on_swarm: Swarm) -> Swarm:
    """The same with the pooler, for which the api has been replaced while it served."""
    build_pgbouncer()
    on_swarm.follow("The pooler", RELEASE=NEW)
    deadline = time.monotonic() + 600
    while on_swarm.sql("postgres", f"{SESSIONS} AND application_name LIKE 'api@%'").stdout != "0\n":
        assert time.monotonic() < deadline
        assert_serves(on_swarm)
        time.sleep(1)
    return on_swarm


@pytest.fixture(scope="module")
def replacement(pooled: Swarm) -> Iterator["Future[set[int]]"]:
    """Another pooler takes its place, while other tests run, because it waits for a minute until its clients have gone.

    The result is all that the api answers meanwhile.
    """
    before = pooled.container("pgbouncer")
    docker("service", "update", "--detach", "--force", f"{STACK}_pgbouncer")

    def ask() -> set[int]:
        answers = set()
        deadline = time.monotonic() + 600
        while before.startswith(tuple(docker("ps", "--quiet").split())):
            assert time.monotonic() < deadline
            for _ in range(10):  # a second: to ask Docker takes as long as many requests
                answers.add(pooled.get("/exhibits").status_code)
                time.sleep(0.1)
        return answers

    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(ask)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(on_swarm: Swarm) -> None:
    code, said = deploy(on_swarm, "--swarm", "--dry-run", FIRST)
    assert code == 0, said
    assert "ADD COLUMN nickname" in said
    assert f"release {FIRST} would be rolled out" in said
    assert on_swarm.image("api") == f"{PREFIX}api:{RELEASE}"
    assert on_swarm.sql("postgres", "SELECT version_num FROM alembic_version").stdout == f"{SCHEMA_REVISION}\n"


def test_a_release_of_which_there_is_no_image_does_not_begin(on_swarm: Swarm) -> None:
    code, said = deploy(on_swarm, "--swarm", "9.9.9")
    assert code == 3
    assert f"there is no image {PREFIX}migrator:9.9.9" in said


async def test_releases_are_rolled_out_or_taken_back_and_no_request_fails(
    on_swarm: Swarm, record_property: Callable[[str, object], None]
) -> None:
    async with at_work(on_swarm) as load:
        await asyncio.sleep(1)
        for release in BEFORE:
            code, said = await asyncio.to_thread(deploy, on_swarm, "--swarm", release)
            assert code == 0, said
        for moment in MOMENTS:
            under_way = Deployment(on_swarm, "--swarm", NEW)
            await asyncio.to_thread(under_way.until, moment)
            under_way.kill(with_children=True)
        code, said = await asyncio.to_thread(deploy, on_swarm, "--swarm", NEW)
        assert code == 0, said
        assert f"rolled out: release {NEW}\n  api.1: {NEW}, running\n  api.2: {NEW}, running" in said
        # It does not start: Swarm takes it back.
        code, said = await asyncio.to_thread(deploy, on_swarm, "--swarm", BROKEN)
        assert code == 1, said
        assert f"taken back: release {BROKEN} was not ready in time" in said
        assert f"  api.1: {NEW}, running\n  api.2: {NEW}, running" in said
    samples = load.samples
    record_property("measured", figures(samples, [0]))
    assert {sample.status for sample in samples} == {200, 201}, figures(samples, [0])
    made = sum(sample.status == 201 for sample in samples)
    assert on_swarm.sql("postgres", f"SELECT count(*) FROM animals WHERE id > {ANIMALS}").stdout == f"{made}\n"
    assert max(sample.took for sample in samples) < 5 + STALL
    filled = "count(*) FILTER (WHERE nickname <> 'none') > 0, count(*) FILTER (WHERE nickname IS NULL)"
    assert on_swarm.sql("postgres", f"SELECT {filled} FROM animals").stdout == "t|0\n"
    assert on_swarm.sql("postgres", "SELECT version_num FROM alembic_version").stdout == f"{list(CONTRACT)[-1]}\n"
    assert on_swarm.image("api") == f"{PREFIX}api:{NEW}"
    # There is no way back below the floor.
    code, said = await asyncio.to_thread(deploy, on_swarm, "--swarm", FIRST)
    assert code == 6
    assert f"release {FIRST} of the app can't work with the schema" in said
    assert on_swarm.image("api") == f"{PREFIX}api:{NEW}"


def test_the_pooler_comes_between_while_the_api_goes_on(pooled: Swarm) -> None:
    assert pooled.sql("postgres", f"{SESSIONS} AND application_name LIKE 'api pooled@%'").stdout > "0\n"
    assert_serves(pooled)


@pytest.mark.usefixtures("replacement")
def test_one_that_is_neither_ready_nor_fails_is_taken_back_after_a_time(on_swarm: Swarm) -> None:
    code, said = deploy(on_swarm, "--swarm", NEVER_READY, READY_SECONDS="15")
    assert code == 1, said
    assert f"taken back: release {NEVER_READY} was not ready in time" in said
    assert f"  api.1: {NEW}, running\n  api.2: {NEW}, running" in said
    assert on_swarm.serves()


def test_a_run_that_a_killed_one_has_left_at_work_is_waited_for_also_by_a_dry_run(on_swarm: Swarm) -> None:
    hold = ["exec", on_swarm.container("db"), "psql", "-U", "postgres", "-d", "zoo", "-c"]
    with subprocess.Popen(["docker", *hold, f"SELECT pg_advisory_lock({LOCK_KEY}), pg_sleep(3600)"]):
        first = Deployment(on_swarm, "--swarm", NEW)
        first.until("waiting for another migrator")
        first.kill(with_children=True)
        second = Deployment(on_swarm, "--swarm", "--dry-run", NEW)
        second.until(f"waiting for the migrator, which is at work for another: {NEW} expand alembic upgrade head")
        on_swarm.sql("postgres", RELEASE_LOCK)
    code, said = second.end()
    assert code == 0, said
    ended = docker("service", "ps", "--format", "{{.CurrentState}}", f"{STACK}_migrator").splitlines()
    assert {state.split()[0] for state in ended} <= {"Complete", "Failed"}  # FIRST, below the floor, has failed


def test_a_migrator_that_no_node_can_run_is_not_waited_for_without_end(on_swarm: Swarm) -> None:
    docker("service", "update", "--detach", "--constraint-add", "node.labels.nowhere == true", f"{STACK}_migrator")
    code, said = deploy(on_swarm, "--swarm", "--dry-run", NEW, READY_SECONDS="5")
    docker("service", "update", "--detach", "--constraint-rm", "node.labels.nowhere == true", f"{STACK}_migrator")
    assert code == 4, said
    assert "the migrator does not start: pending: no suitable node" in said


def test_a_pooler_that_is_replaced_loses_no_request(on_swarm: Swarm, replacement: "Future[set[int]]") -> None:
    assert replacement.result() == {200}
    assert_serves(on_swarm)


def assert_serves(stack: Swarm) -> None:
    answer = stack.get("/exhibits")
    assert answer.status_code == 200, answer.text
