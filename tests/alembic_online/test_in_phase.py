"""What a run in a phase applies, and why it does not begin, by what is pending and which releases are at work."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, nullcontext
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.util import await_only
from structlog.testing import capture_logs

from alembic_online.errors import ContractInTheWay, ExpandInTheWay, MigratorError, ReleaseInTheWay
from alembic_online.runs.phases import in_phase
from alembic_online.runs.rollout import find_others, require_rollout
from alembic_online.runs.steps import Steps
from alembic_online.settings import Phase
from local.postgres import Server
from tests.alembic_online.sessions import look, session
from tests.alembic_online.test_phases import revision
from tests.alembic_online.zoo import ZOO
from tests.python import HANGS

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'"


def line(pending: str) -> list[Script]:
    """Revisions that follow each other: `e` is an expand revision, a number the release of a contract revision."""
    parts = pending.split()
    return [
        revision(f"{part}_{at}", upgrade=None, downgrade=None)
        if part.startswith("e")
        else revision(f"c_{at}", phase="contract", safe_from_release=part, upgrade=None, downgrade=None)
        for at, part in enumerate(parts)
    ]


def steps_of(pending: str, *, is_upgrade: bool = True) -> Steps:
    return lambda *_: [RevisionStep(ZOO.scripts.revision_map, each, is_upgrade) for each in line(pending)]


def name(step: Any) -> str:
    return str(step.revision.revision) if isinstance(step, RevisionStep) else "stamp"


async def run(
    server: Server, database: str, steps: Steps, phase: Phase, release: str = "0.4.0"
) -> tuple[list[str], MigratorError | None]:
    """The names of the revisions that it applies, and the error that ends it."""

    def apply(connection: Connection) -> tuple[list[str], MigratorError | None]:
        context = MigrationContext.configure(connection, opts={"project": replace(ZOO, release=release)})
        applied = []
        try:
            for step in in_phase(steps, phase)(("head",), context):
                applied.append(name(step))  # noqa: PERF401 - not all of them, if it fails
        except MigratorError as error:
            return applied, error
        return applied, None

    ended: tuple[list[str], MigratorError | None] = await look(server, database, apply)
    return ended


@pytest.mark.parametrize(
    ("pending", "phase", "applied", "waiting"),
    [
        ("e e 0.4.0", "expand", "e_0 e_1", "c_2"),
        ("e 0.4.0 0.4.0", "expand", "e_0", "c_1 c_2"),
        ("0.4.0", "expand", "", "c_0"),
        ("e", "contract", "", "e_0"),
        ("0.4.0 0.5.0 e 0.6.0", "contract", "c_0 c_1", "e_2 c_3"),
        ("e 0.4.0 e 0.5.0", "all", "e_0 c_1 e_2 c_3", ""),
        ("e e", "expand", "e_0 e_1", ""),
        ("", "expand", "", ""),
    ],
)
async def test_it_applies_its_own_up_to_the_first_other_and_says_what_waits(  # noqa: PLR0913, PLR0917 - a table
    server: Server, module_database: str, pending: str, phase: Phase, applied: str, waiting: str
) -> None:
    with capture_logs() as log:
        assert await run(server, module_database, steps_of(pending), phase) == (applied.split(), None)
    nothing = [{"event": "nothing to do in this phase", "phase": phase, "log_level": "info"}]
    waits = [{"event": "waiting for their phase", "revisions": waiting.split(), "phase": phase, "log_level": "info"}]
    assert log == (nothing if waiting and not applied else []) + (waits if waiting else [])


@pytest.mark.parametrize(
    ("at", "refused"),
    [("one", ContractInTheWay), (None, None), ("newer", None)],
    ids=["behind", "never migrated", "ahead"],
)
async def test_a_rollout_is_refused_where_its_run_would_be(  # noqa: PLR0913, PLR0917 - fixtures
    server: Server,
    database: str,
    admin: asyncpg.Connection,
    tmp_path: Path,
    at: str | None,
    refused: type[MigratorError] | None,
) -> None:
    """That run would apply all to a database without revisions, and nothing to one that is ahead."""
    contract = 'phase, safe_from_release = "contract", "0.4.0"\n'
    for name, before, phase in (("one", None, ""), ("two", "one", contract), ("three", "two", "")):
        (tmp_path / f"{name}.py").write_text(f"revision, down_revision = {name!r}, {before!r}\n{phase}")
    project = replace(ZOO, scripts=ScriptDirectory(str(tmp_path), version_locations=[str(tmp_path)]))
    await admin.execute("DELETE FROM migration_history; DELETE FROM alembic_version")
    if at is not None:
        await admin.execute("INSERT INTO alembic_version VALUES ($1)", at)
        await admin.execute("INSERT INTO migration_history (revision, direction) VALUES ($1, 'upgrade')", at)
    with pytest.raises(refused) if refused else nullcontext():
        await look(server, database, partial(require_rollout, project=project))


@pytest.fixture
async def quiet_database(maintenance: asyncpg.Connection, module_database: str) -> AsyncIterator[str]:
    """The module's, in which nobody is at work but those who come in this test."""
    yield module_database
    async with asyncio.timeout(HANGS):
        while await maintenance.fetchval(SESSIONS, module_database):
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("phase", ["expand", "contract", "all"])
async def test_downgrades_and_stamps_go_all_the_way_whoever_is_at_work(
    server: Server, quiet_database: str, phase: Phase
) -> None:
    stamp = StampStep("a", "b", True, False, ZOO.scripts.revision_map)
    async with session(server, quiet_database, "api@0.1.0"):
        down = await run(server, quiet_database, steps_of("e 0.4.0 e", is_upgrade=False), phase)
        assert down == (["e_0", "c_1", "e_2"], None)
        assert await run(server, quiet_database, lambda *_: [stamp, stamp], phase) == (["stamp", "stamp"], None)


async def test_a_database_without_revisions_gets_all_in_every_try_of_the_run(
    server: Server, module_database: str
) -> None:
    def apply(connection: Connection) -> list[list[str]]:
        context = MigrationContext.configure(connection, opts={"project": ZOO})
        steps = in_phase(steps_of("e 0.4.0 e 0.5.0"), "expand")
        return [[name(step) for step in steps(heads, context)] for heads in ((), ("e_0",))]

    assert await look(server, module_database, apply) == [["e_0", "c_1", "e_2", "c_3"]] * 2


@pytest.mark.parametrize(
    ("pending", "before"),
    [
        ("e_a e_b 0.4.0 0.5.0 e", "alembic upgrade e_b_1, roll out release 0.4.0 of the app, and run "),
        ("0.4.0 e", ""),
    ],
)
async def test_what_an_app_needs_and_is_behind_a_contract_revision_is_said_with_the_way_there(
    server: Server, module_database: str, pending: str, before: str
) -> None:
    applied, why = await run(server, module_database, steps_of(pending), "expand", "0.5.0")
    assert (applied, type(why)) == ([], ContractInTheWay)
    contract = "c_2" if before else "c_0"
    behind = "e_4" if before else "e_1"
    assert str(why) == (
        f"revision {behind} waits behind the contract revision {contract}, which release 0.4.0 of the app is the first "
        f"to do without, so nothing is applied: first run {before}MIGRATOR_PHASE=contract alembic upgrade {contract}; "
        "or, if no app is at work, run this with MIGRATOR_PHASE=all"
    )


async def test_contract_does_not_begin_while_an_expand_revision_comes_first(
    server: Server, module_database: str
) -> None:
    applied, why = await run(server, module_database, steps_of("e_a e_b 0.4.0"), "contract")
    assert (applied, type(why)) == ([], ExpandInTheWay)
    said = str(why)
    assert said.startswith("the contract revision c_2 waits for the expand revision e_a_0, which a run of contract")
    assert said.endswith("first run MIGRATOR_PHASE=expand, and roll out the release")


@pytest.mark.parametrize(
    ("release", "pending", "at_work", "jumped"),
    [
        ("0.5.0", "e 0.4.0", "0.3.0 0.5.0", "0.4.0"),
        ("1.0", "e 0.4.0", "0.3.0", "0.4.0"),
        ("0.6.0", "e 0.4.0 0.5.0", "0.4.0", "0.5.0"),
        ("1!0.1.0", "e 0.4.0", "0.3.0", "0.4.0"),
        ("0.5.0", "e 0.4.0", "0.4.0 0.4.1", None),
        ("0.5.0", "e 0.4.0", "", None),
        ("0.4.1", "e 0.4.0", "0.3.0", None),
        ("0.4.0", "e 0.4.0", "0.3.0", None),
        ("0.4.0", "e 0.4.1", "0.3.0", None),
        ("0.3.0", "e 0.4.0", "0.2.0", None),
        ("dev", "e 0.4.0", "0.3.0", None),
        ("0.5.0", "e e", "0.3.0", None),
    ],
)
async def test_a_release_is_refused_that_jumps_over_one_while_older_ones_are_at_work(  # noqa: PLR0913, PLR0917 - a table
    server: Server, quiet_database: str, release: str, pending: str, at_work: str, jumped: str | None
) -> None:
    async with AsyncExitStack() as stack:
        for each in at_work.split():
            await stack.enter_async_context(session(server, quiet_database, f"api@{each}"))
        applied, why = await run(server, quiet_database, steps_of(pending), "expand", release)
        if jumped is None:
            assert (applied[:1], why) == (["e_0"], None)
            return
        assert (applied, type(why)) == ([], ContractInTheWay)
        contract = f"c_{pending.split().index(jumped)}"
        older, *_ = at_work.split()
        assert re.fullmatch(
            f"release {release} would jump over release {jumped}, whose contract revision {contract} is pending, while "
            rf"older ones are at work: api@{older} \(1 session, pid \d+\). First roll out release {jumped}"
            " everywhere, and run its migrator with MIGRATOR_PHASE=contract",
            str(why),
        )
        # Not in another phase, in which nothing is rolled out.
        applied, why = await run(server, quiet_database, steps_of(pending), "all", release)
        assert (applied, type(why)) == ([], ReleaseInTheWay)


async def test_what_contract_leaves_for_later_is_in_nobodys_way(server: Server, quiet_database: str) -> None:
    async with session(server, quiet_database, "api@0.4.0"):
        assert await run(server, quiet_database, steps_of("0.4.0 e 0.5.0"), "contract", "0.6.0") == (["c_0"], None)


NAMELESS = "; a release that is not a version number counts as older (RELEASE)"
EXPAND = "; MIGRATOR_PHASE=expand applies what comes before it"


@pytest.mark.parametrize(
    ("pending", "at_work", "why", "hints"),
    [
        ("0.4.0", "0.3.0", "c_0 0.4.0", ""),
        ("e 0.4.0", "0.3.0", "c_1 0.4.0", EXPAND),
        ("0.4.0", "dev", "c_0 0.4.0", NAMELESS),
        ("e 0.4.0", "0.3.0 dev", "c_1 0.4.0", NAMELESS + EXPAND),
        ("0.4.0 0.5.0", "0.4.0", "c_1 0.5.0", EXPAND),
        ("0.4.0 0.5.0", "0.5.0 1.0", None, ""),
        ("0.4.0", "", None, ""),
        ("e e", "0.1.0 dev", None, ""),
    ],
)
async def test_a_contract_revision_waits_for_older_releases_and_so_does_all_of_its_run(  # noqa: PLR0913, PLR0917 - a table
    server: Server, quiet_database: str, pending: str, at_work: str, why: str | None, hints: str
) -> None:
    async with AsyncExitStack() as stack:
        for each in at_work.split():
            await stack.enter_async_context(session(server, quiet_database, f"api@{each}"))
        applied, error = await run(server, quiet_database, steps_of(pending), "all")
        if why is None:
            assert (len(applied), error) == (len(pending.split()), None)
            return
        assert (applied, type(error)) == ([], ReleaseInTheWay)
        contract, release = why.split()
        older = r", ".join(rf"api@{each} \(1 session, pid \d+\)" for each in at_work.split())
        assert re.fullmatch(
            f"the contract revision {contract} takes away what releases of the app before {release} use, and is not "
            f"begun while these are at work: {older}. Roll out release {release} everywhere, or stop these, then run "
            f"this again{re.escape(hints)}",
            str(error),
        )


async def test_one_that_comes_meanwhile_is_seen_before_the_contract_revision(
    server: Server, quiet_database: str
) -> None:
    async with AsyncExitStack() as stack:

        def apply(connection: Connection) -> list[str]:
            context = MigrationContext.configure(connection, opts={"project": ZOO})
            begun = iter(in_phase(steps_of("e 0.4.0"), "all")(("head",), context))
            applied = [name(next(begun))]
            connection.commit()  # as after each revision
            await_only(stack.enter_async_context(session(server, quiet_database, "api@0.1.0")))
            with pytest.raises(ReleaseInTheWay, match=r"api@0.1.0 \(1 session, pid \d+\)[^;]*$"):
                next(begun)
            return applied

        assert await look(server, quiet_database, apply) == ["e_0"]


@pytest.mark.parametrize(("phase", "notes"), [("all", ["0.4.0", "0.5.0"]), ("contract", [])])
def test_sql_has_a_line_before_each_contract_revision(phase: Phase, notes: list[str]) -> None:
    written = StringIO()
    options = {"as_sql": True, "output_buffer": written, "project": ZOO}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    pending = "e 0.4.0 e 0.5.0" if phase == "all" else "e"
    for step in in_phase(steps_of(pending), phase)(("head",), context):
        written.write(f"{name(step)}\n")
    said = [f"-- Not while a release before {release} is at work" for release in notes]
    expected = ["e_0", said[0], "c_1", "e_2", said[1], "c_3"] if notes else []
    assert [text for text in written.getvalue().splitlines() if text] == expected


def test_sql_of_what_is_behind_a_contract_revision_is_not_written() -> None:
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": StringIO(), "project": ZOO}
    )
    with pytest.raises(ContractInTheWay, match="e_2 waits behind the contract revision c_1"):
        list(in_phase(steps_of("e 0.4.0 e"), "expand")(("head",), context))


@pytest.mark.parametrize(
    ("at_work", "said"),
    [
        ([], "release 0.4.0 of the app is not at work"),
        (["api@0.3.0", "api@0.4.0"], "others than release 0.4.0 of the app are at work: api@0.3.0 (1 session, pid"),
        (["api@0.5.0", "api@0.4.0"], "others than release 0.4.0 of the app are at work: api@0.5.0 (1 session, pid"),
        (["api command@0.3.0", "api@0.4.0"], "others than release 0.4.0 of the app are at work: api command@0.3.0 ("),
        (["api@0.4.0", "my api@0.3.0", "psql"], None),
    ],
)
async def test_a_release_is_rolled_out_if_it_is_at_work_and_no_other(
    server: Server, quiet_database: str, at_work: list[str], said: str | None
) -> None:
    async with AsyncExitStack() as stack:
        for each in at_work:
            await stack.enter_async_context(session(server, quiet_database, each))
        why = await look(server, quiet_database, partial(find_others, project=replace(ZOO, release="0.4.0")))
    if said is None:
        assert why is None
    else:
        assert why.startswith(said)
