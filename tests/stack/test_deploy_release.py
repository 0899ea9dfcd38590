"""deploy/release, on two replicas behind the proxy: under load, interrupted, refused, broken."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from api.database.engine import SCHEMA_REVISION
from tests.rounds import STALL, rounds
from tests.stack.deployments import Deployment, build_pgbouncer, build_release, deploy, remove_releases
from tests.stack.drill import ANIMALS, at_work, figures
from tests.stack.observed import until
from tests.stack.secret_files import NASTY
from tests.stack.stack import PREFIX, RELEASE, Stack, docker

HEAD = '"""{name}"""\nimport sqlalchemy as sa\nfrom alembic import op\nrevision = "{name}"\ndown_revision = "{after}"\n'
# A column that 0.4.0 uses, and 0.5.0 no more.
REVISIONS = {
    "nickname": 'op.add_column("animals", sa.Column("nickname", sa.Text))',
    "fill": 'op.backfill("animals", {"nickname": "name"})',
    "drop": 'op.drop_column("animals", "nickname")',
}
DOWN = {"nickname": 'op.drop_column("animals", "nickname")', "drop": REVISIONS["nickname"]}
CONTRACT = 'phase = "contract"\nsafe_from_release = "0.5.0"\n'
RELEASES = {"0.4.0": ["nickname", "fill"], "0.5.0": [*REVISIONS], "0.6.0": [*REVISIONS], "0.7.0": []}
BROKEN = "0.7.0"
# The lines of it, or of Compose, after which it is killed, and whether all that it has started is killed, too.
MOMENTS = rounds(
    quick={"api-1  Recreate": True, "4. contract": False},
    full={
        "1. expand": False,
        "2. roll out": True,
        "api-1  Recreate": True,
        "api-1  Started": False,
        "api-2-1  Recreate": True,
        "3. wait": False,
        "4. contract": True,
    },
)
BEFORE = rounds(quick=[], full=["0.4.0"])  # which are rolled out before 0.5.0
RELEASES_AT_WORK = "SELECT DISTINCT release FROM migration_workers WHERE seen_at > clock_timestamp() - interval '30 s'"
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'zoo_api'"
MADE = f"SELECT count(*) FROM animals WHERE id > {ANIMALS} AND name = 'Amara'"  # by clients at work


@pytest.fixture(scope="module")
def releases(images: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:  # noqa: ARG001 - built before
    """Images of further releases, which differ in their schema; one never gets ready."""
    for release, revisions in RELEASES.items():
        folder = tmp_path_factory.mktemp(release)
        versions = folder / "versions"
        versions.mkdir()
        for after, name in zip([SCHEMA_REVISION, *revisions], revisions, strict=False):
            (versions / f"2099_01_01_000{len(after)}-{name}.py").write_text(
                HEAD.format(name=name, after=after) + (CONTRACT if name == "drop" else "") + f"\n\n"
                f"def upgrade():\n    {REVISIONS[name]}\n\n\ndef downgrade():\n    {DOWN.get(name, 'pass')}\n"
            )
        build_release(
            release,
            folder,
            api='CMD ["false"]' if release == BROKEN else "",
            migrator="COPY versions migrator/versions",
        )
    yield
    remove_releases(*RELEASES)


@pytest.fixture
def stack(replicas: Stack, releases: None) -> Stack:  # noqa: ARG001 - built before
    """Two replicas of the tests' release, which is the one of before."""
    replicas.was_changed = True  # until a test has found that it is not
    return replicas


@pytest.fixture
def taken_back(new_replicas: Stack) -> Iterator[None]:
    """The schema, as it was before the test."""
    yield
    with new_replicas.changed(RELEASE="0.6.0"):
        back = ["run", "--rm", "--no-TTY", "--no-deps", "migrator", "alembic", "downgrade", SCHEMA_REVISION]
        assert new_replicas.compose(*back, check=False).returncode == 0


@pytest.fixture
def pooled(new_replicas: Stack, releases: None, secret_files: Path) -> Iterator[Stack]:  # noqa: ARG001 - built before
    """The same, behind PgBouncer."""
    stack, console = new_replicas, secret_files / "migrator_pooler_url"
    build_pgbouncer()
    password = quote(f"pooler_password, {NASTY}", safe="")
    console.write_text(f"postgresql://zoo_pooler:{password}@pgbouncer:6432/pgbouncer")
    with stack.changed(COMPOSE_PROFILES="pgbouncer", DATABASE_URL="postgresql://zoo_api@pgbouncer:6432/zoo"):
        stack.compose("up", "--detach", "--wait", "--no-deps", "pgbouncer", "api", "api-2")
        yield stack
        stack.compose("rm", "--stop", "--force", "pgbouncer")
    console.write_text("")


def containers(stack: Stack) -> list[str]:
    return [stack.inspect(service)["Id"] for service in ("api", "api-2", "proxy")]


def created(stack: Stack) -> str:
    """Its containers that have not been started."""
    return docker(
        "ps", "--quiet", "--filter", f"label=com.docker.compose.project={stack.project}", "--filter", "status=created"
    )


def assert_unchanged(stack: Stack, there: list[str]) -> None:
    """It has the containers that were there before, so that the next test need not make it intact."""
    assert containers(stack) == there
    stack.was_changed = False


def test_one_that_is_not_ready_in_time_is_taken_back_while_the_other_replica_serves(stack: Stack) -> None:
    _, other, proxy = containers(stack)
    code, said = deploy(stack, BROKEN, READY_SECONDS="5")
    assert code == 1, said
    assert "taken back" in said
    assert f"  api: {RELEASE}, healthy\n  api-2: {RELEASE}, healthy\n" in said
    assert containers(stack)[1:] == [other, proxy]
    assert [stack.get("/animals").status_code for _ in range(20)] == [200] * 20
    stack.was_changed = False


@pytest.mark.parametrize("is_dry", [True, False], ids=["dry run", "run"])
def test_a_release_whose_predecessors_contract_is_pending_is_refused_and_nothing_changes(
    stack: Stack, is_dry: bool
) -> None:
    there = containers(stack)
    code, said = deploy(stack, *(["--dry-run"] if is_dry else []), "0.6.0")
    assert code == 7, said
    assert "First roll out release 0.5.0 everywhere" in said
    assert f"  api: {RELEASE}, healthy\n" in said
    assert_unchanged(stack, there)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(stack: Stack) -> None:
    there = containers(stack)
    code, said = deploy(stack, "--dry-run", "0.5.0")
    assert code == 0, said
    assert "ADD COLUMN nickname" in said
    assert "release 0.5.0 would be rolled out" in said
    assert stack.sql("postgres", "SELECT version_num FROM alembic_version").stdout == f"{SCHEMA_REVISION}\n"
    assert_unchanged(stack, there)


def test_a_release_of_which_there_is_no_image_does_not_begin(stack: Stack) -> None:
    there = containers(stack)
    code, said = deploy(stack, "9.9.9")
    assert code == 3
    assert f"there is no image {PREFIX}migrator:9.9.9" in said
    assert_unchanged(stack, there)


async def test_a_release_and_its_schema_are_rolled_out_and_no_request_fails_however_often_it_is_killed(
    stack: Stack,
    taken_back: None,  # noqa: ARG001 - afterwards
    record_property: Callable[[str, object], None],
) -> None:
    def killed_again_and_again() -> None:
        for moment, with_children in MOMENTS.items():
            under_way = Deployment(stack, "0.5.0")
            under_way.until(moment)
            while moment.endswith("Recreate") and not created(stack):  # the new container, beside the old one
                assert under_way.process.poll() is None
            under_way.kill(with_children=with_children)

    async with at_work(stack) as load:
        await asyncio.sleep(1)
        for release in BEFORE:
            code, said = await asyncio.to_thread(deploy, stack, release)
            assert code == 0, said
            assert stack.sql("postgres", f"{MADE} AND nickname = name").stdout >= "1"
        await asyncio.to_thread(killed_again_and_again)
        code, said = await asyncio.to_thread(deploy, stack, "0.5.0")
        assert code == 0, said
        assert "rolled out: release 0.5.0\n  api: 0.5.0, healthy\n  api-2: 0.5.0, healthy" in said
        await asyncio.sleep(1)
    samples = load.samples
    record_property("measured", figures(samples, [0]))
    assert {sample.status for sample in samples} == {200, 201}
    assert stack.sql("postgres", MADE).stdout == f"{sum(sample.status == 201 for sample in samples)}\n"
    assert max(sample.took for sample in samples) < 5 + STALL
    assert stack.sql("postgres", RELEASES_AT_WORK).stdout == "0.5.0\n"
    assert stack.sql("postgres", "SELECT version_num FROM alembic_version").stdout == "drop\n"
    # There is no way back below the floor; not for the command, and not for an api that is put there by hand.
    there = containers(stack)
    code, said = await asyncio.to_thread(deploy, stack, "0.4.0")
    assert code == 6
    assert "release 0.4.0 of the app can't work with the schema" in said
    assert containers(stack) == there
    with stack.changed(RELEASE="0.4.0"):
        stack.compose("up", "--detach", "--no-deps", "api-2")
    until(lambda: "lost what releases before 0.5.0 use, and this is release 0.4.0" in stack.logs("api-2"))
    assert stack.inspect("api-2")["State"].get("Health", {}).get("Status") != "healthy"
    assert [stack.get("/animals").status_code for _ in range(20)] == [200] * 20


async def test_behind_a_pooler_no_request_fails_because_it_is_told_what_has_changed(
    pooled: Stack, record_property: Callable[[str, object], None]
) -> None:
    """The last test on that stack, whose schema is another one then."""
    async with at_work(pooled) as load:
        await asyncio.sleep(1)
        assert pooled.sql("postgres", f"{SESSIONS} AND application_name LIKE 'api pooled@%'").stdout > "0\n"
        assert pooled.sql("postgres", f"{SESSIONS} AND application_name LIKE 'api@%'").stdout == "0\n"
        code, said = await asyncio.to_thread(deploy, pooled, "0.5.0")
        assert code == 0, said
        await asyncio.sleep(1)
    record_property("measured", figures(load.samples, [0]))
    assert {sample.status for sample in load.samples} == {200, 201}, figures(load.samples, [0])
    # Once for the column that expand adds, and once for contract, which drops it.
    assert said.count("the pooler opens its connections anew") == 2, said
    assert pooled.sql("postgres", RELEASES_AT_WORK).stdout == "0.5.0\n"
