"""deploy/release on Docker Swarm: three releases under load, one of them broken; interrupted, refused."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from api.database.engine import SCHEMA_REVISION
from tests.faults.checkout import checkout_with
from tests.live.releases import CONTRACT, NEW, new_release
from tests.rounds import STALL, rounds
from tests.stack.deployments import Deployment, build_release, deploy, remove_releases
from tests.stack.drill import ANIMALS, at_work, figures
from tests.stack.stack import PREFIX, RELEASE
from tests.stack.swarm import Swarm, swarm

# A column NOT NULL, which the release before does not know; then NEW renames two; what comes then does not start.
FIRST, BROKEN, NEVER_READY = "0.3.1", "0.4.1", "0.3.2"
NICKNAMES = {
    "nickname": 'op.add_column("animals", sa.Column("nickname", sa.Text))\n'
    'op.alter_column("animals", "nickname", server_default="none")',
    "fill_nickname": 'op.backfill("animals", {"nickname": "name"}, where="nickname IS NULL")',
    "nickname_not_null": 'op.set_not_null_online("animals", "nickname")',
}
# The lines after which deploy/release is killed. Swarm goes on with what it has begun.
MOMENTS = rounds(quick=["2. roll out"], full=["1. expand", "2. roll out", "3. wait", "4. contract"])


@pytest.fixture(scope="module")
def stack(images: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:  # noqa: ARG001 - built before
    """The tests' release on a swarm, and images of the three that follow."""
    first = checkout_with(tmp_path_factory.mktemp("first"), **NICKNAMES)
    nicknames = "COPY migrator/versions migrator/versions"
    build_release(FIRST, first, migrator=nicknames)
    build_release(NEVER_READY, first, migrator=nicknames, api='CMD ["sleep", "600"]')
    renamed = new_release(tmp_path_factory.mktemp("renamed"), NICKNAMES)
    api = "COPY api api"
    migrator = (
        "COPY migrator/versions migrator/versions\nCOPY api/models api/models\nCOPY api/__init__.py api/__init__.py"
    )
    build_release(NEW, renamed, api=api, migrator=migrator)
    build_release(BROKEN, renamed, api=f'{api}\nCMD ["false"]', migrator=migrator)
    with swarm(tmp_path_factory.mktemp("swarm")) as stack:
        yield stack
    remove_releases(FIRST, NEW, BROKEN, NEVER_READY)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(stack: Swarm) -> None:
    code, said = deploy(stack, "--swarm", "--dry-run", FIRST)
    assert code == 0, said
    assert "ADD COLUMN nickname" in said
    assert f"release {FIRST} would be rolled out" in said
    assert stack.image("api") == f"{PREFIX}api:{RELEASE}"
    assert stack.sql("postgres", "SELECT version_num FROM alembic_version").stdout == f"{SCHEMA_REVISION}\n"


def test_a_release_of_which_there_is_no_image_does_not_begin(stack: Swarm) -> None:
    code, said = deploy(stack, "--swarm", "9.9.9")
    assert code == 3
    assert f"there is no image {PREFIX}migrator:9.9.9" in said


def test_one_that_is_not_ready_in_time_is_taken_back(stack: Swarm) -> None:
    code, said = deploy(stack, "--swarm", NEVER_READY, READY_SECONDS="15")
    assert code == 1, said
    assert f"taken back: release {NEVER_READY} was not ready in time" in said
    assert f"  api.1: {RELEASE}, running\n  api.2: {RELEASE}, running" in said
    assert stack.serves()


async def test_three_releases_are_rolled_out_or_taken_back_and_no_request_fails(
    stack: Swarm, record_property: Callable[[str, object], None]
) -> None:
    async with at_work(stack) as load:
        await load.during("undisturbed", lambda: None)
        code, said = await asyncio.to_thread(deploy, stack, "--swarm", FIRST)
        assert code == 0, said
        assert f"rolled out: release {FIRST}\n  api.1: {FIRST}, running\n  api.2: {FIRST}, running" in said
        nicknames = "SELECT count(*) FILTER (WHERE nickname = 'A' || id), count(*) FILTER (WHERE nickname IS NULL)"
        assert stack.sql("postgres", f"{nicknames} FROM animals").stdout.split("|")[1] == "0\n"
        for moment in MOMENTS:
            under_way = Deployment(stack, "--swarm", NEW)
            await asyncio.to_thread(under_way.until, moment)
            under_way.kill(with_children=True)
        code, said = await asyncio.to_thread(deploy, stack, "--swarm", NEW)
        assert code == 0, said
        # It does not start: Swarm takes it back.
        code, said = await asyncio.to_thread(deploy, stack, "--swarm", BROKEN)
        assert code == 1, said
        assert f"taken back: release {BROKEN} was not ready in time" in said
        assert f"  api.1: {NEW}, running\n  api.2: {NEW}, running" in said
    samples = load.samples
    record_property("measured", figures(samples, [0]))
    assert {sample.status for sample in samples} == {200, 201}, figures(samples, [0])
    made = sum(sample.status == 201 for sample in samples)
    assert stack.sql("postgres", f"SELECT count(*) FROM animals WHERE id > {ANIMALS}").stdout == f"{made}\n"
    assert max(sample.took for sample in samples) < 5 + STALL
    assert stack.sql("postgres", "SELECT version_num FROM alembic_version").stdout == f"{list(CONTRACT)[-1]}\n"
    assert stack.image("api") == f"{PREFIX}api:{NEW}"
    # There is no way back below the floor.
    code, said = await asyncio.to_thread(deploy, stack, "--swarm", FIRST)
    assert code == 6
    assert f"release {FIRST} of the app can't work with the schema" in said
    assert stack.image("api") == f"{PREFIX}api:{NEW}"
