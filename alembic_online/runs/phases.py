"""Expand and contract: which pending revisions a run applies, and which releases of the app a revision waits for.

An expand revision only adds what the previous release of the app can work with. A contract revision says
`phase = "contract"`, takes away what older releases use, and names the first release that does without it,
`safe_from_release = "0.4.0"`. Guarantees: a run with MIGRATOR_PHASE=expand applies no contract revision, and a contract
revision begins only when no session and no worker of an older release is there. This is checked before a run applies
anything, and again right before each contract revision. An app that comes later than that is not waited for; it is not
ready (floor.py). A database without any revision gets all of them in any phase: nobody uses it.

An expand run is the beginning of a rollout, so it is refused to a release that must not be rolled out yet: one that
jumps over another, whose contract revisions are pending, while releases before that other are at work.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import Script
from sqlalchemy import Connection

from alembic_online.errors import ContractInTheWay, ExpandInTheWay, ReleaseInTheWay
from alembic_online.project import Project
from alembic_online.runs.contract import is_contract, safe_from_release
from alembic_online.runs.releases import Sessions, find_at_work
from alembic_online.runs.steps import Steps
from alembic_online.runs.workers import Workers
from alembic_online.settings import Phase
from stack_settings.release import find_version, is_older

log = structlog.get_logger(__name__)


def split_by_phase(revisions: Sequence[Script], phase: Phase) -> tuple[list[Script], list[Script]]:
    """Split these pending revisions, the oldest first: those that a run in this phase applies, and those that wait.

    Order is kept: no revision is applied before the one it follows.
    """
    due = list(revisions)
    if phase != "all":
        other = [number for number, revision in enumerate(revisions) if is_contract(revision) == (phase == "expand")]
        due = due[: min(other, default=len(due))]
    return due, list(revisions[len(due) :])


def waited_for(revisions: Sequence[Script], phase: Phase) -> list[Script]:
    """Of these pending revisions, those that an app needs that starts after a run in this phase.

    With `expand` all expand revisions, also one behind a contract revision, which the run does not apply: without it
    the app can't start.
    """
    if phase == "expand":
        return [revision for revision in revisions if not is_contract(revision)]
    return split_by_phase(revisions, phase)[0]


def in_phase(steps: Steps, phase: Phase) -> Steps:
    """`steps`, from one revision to another, as far as an upgrade in this phase goes.

    ContractInTheWay, ExpandInTheWay or ReleaseInTheWay if it may not begin. Downgrades and stamps are not checked:
    people who run them are expected to know the state.
    """

    def run(heads: Any, context: MigrationContext) -> Iterator[RevisionStep | StampStep]:
        nonlocal phase
        planned = list(steps(heads, context))
        upgrades = [step for step in planned if isinstance(step, RevisionStep) and step.is_upgrade]
        if not upgrades:
            yield from planned
            return
        if not heads:
            phase = "all"  # nobody uses a database without any revision; this holds for further tries, too
        due, waiting = split_by_phase([step.revision for step in upgrades], phase)
        if phase == "expand":
            require_nothing_behind(due, waiting)
        _require_expanded(due, waiting, phase)
        if not context.as_sql:
            assert context.connection is not None
            if phase == "expand":
                require_no_jump(context.connection, context.opts["project"], waiting)
            _require_releases_gone(context, due)
        for step in upgrades[: len(due)]:
            if not context.as_sql:
                _require_releases_gone(context, [step.revision])  # connected since
            elif release := safe_from_release(step.revision):
                context.impl.static_output(f"-- Not while a release before {release} is at work")
            yield step
        _say_what_waits(due, waiting, phase)

    return run


def _say_what_waits(due: list[Script], waiting: list[Script], phase: Phase) -> None:
    if not due:
        log.info("nothing to do in this phase", phase=phase)
    if waiting:
        log.info("waiting for their phase", revisions=[revision.revision for revision in waiting], phase=phase)


def require_nothing_behind(due: Sequence[Script], waiting: Sequence[Script]) -> None:
    """ContractInTheWay if an expand revision, which the next release needs, is among those that wait."""
    behind = next((revision for revision in waiting if not is_contract(revision)), None)
    if behind is not None:
        contract = waiting[0].revision
        release = safe_from_release(waiting[0])
        before = f"alembic upgrade {due[-1].revision}, roll out release {release} of the app, and run " if due else ""
        raise ContractInTheWay(
            f"revision {behind.revision} waits behind the contract revision {contract}, which release {release} of the "
            f"app is the first to do without, so nothing is applied: first run {before}MIGRATOR_PHASE=contract alembic "
            f"upgrade {contract}; or, if no app is at work, run this with MIGRATOR_PHASE=all"
        )


def _require_expanded(due: Sequence[Script], waiting: Sequence[Script], phase: Phase) -> None:
    """ExpandInTheWay if this is contract, and can't begin: whoever started the run would take it for done."""
    contract = next((revision for revision in waiting if is_contract(revision)), None)
    if phase == "contract" and contract is not None and not due:
        raise ExpandInTheWay(
            f"the contract revision {contract.revision} waits for the expand revision {waiting[0].revision}, which a "
            f"run of contract does not apply: first run MIGRATOR_PHASE=expand, and roll out the release"
        )


def require_no_jump(connection: Connection, project: Project, waiting: Sequence[Script]) -> None:
    """ContractInTheWay if this release jumps over one whose contract revisions are among those that wait.

    Releases with the same first two numbers count as one: what corrects a release may come in its place.
    """
    ours = _minor(project.release)
    contracts = [(revision, release) for revision in waiting if (release := safe_from_release(revision))]
    for revision, release in contracts:
        if ours > _minor(release) and (older := _older_at_work(connection, project, release)):
            raise ContractInTheWay(
                f"release {project.release} would jump over release {release}, whose contract revision "
                f"{revision.revision} is pending, while older ones are at work: {', '.join(map(str, older))}. First "
                f"roll out release {release} everywhere, and run its migrator with MIGRATOR_PHASE=contract"
            )


def _older_at_work(connection: Connection, project: Project, release: str) -> list[Sessions | Workers]:
    """Those of releases before this one."""
    return [found for found in find_at_work(connection, project.application) if is_older(found.release, release)]


def _minor(release: str) -> tuple[int, ...]:
    """The numbers by which releases are told apart; those of no release, if it is not a version number."""
    version = find_version(release)
    return (version.epoch, *version.release[:2]) if version else ()


def _require_releases_gone(context: MigrationContext, revisions: list[Script]) -> None:
    """ReleaseInTheWay if a release is at work that uses what one of these takes away."""
    contracts = [(revision, release) for revision in revisions if (release := safe_from_release(revision))]
    assert context.connection is not None
    for revision, release in contracts:
        if older := _older_at_work(context.connection, context.opts["project"], release):
            nameless = any(find_version(found.release) is None for found in older)
            raise ReleaseInTheWay(
                f"the contract revision {revision.revision} takes away what releases of the app before {release} use, "
                f"and is not begun while these are at work: {', '.join(map(str, older))}. Roll out release "
                f"{release} everywhere, or stop these, then run this again"
                + ("; a release that is not a version number counts as older (RELEASE)" if nameless else "")
                + ("; MIGRATOR_PHASE=expand applies what comes before it" if revisions[0] != revision else "")
            )
