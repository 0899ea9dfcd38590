"""Expand and contract: which pending revisions a run applies, and which releases of the app a revision waits for.

An expand revision only adds what the previous release of the app can work with. A contract revision says
`phase = "contract"`, takes away what older releases use, and names the first release that does without it,
`safe_from_release = "0.4.0"`. Guarantees: a run with MIGRATOR_PHASE=expand applies no contract revision, and a contract
revision begins only when no session and no worker of an older release is there. This is checked before a run applies
anything, and again right before each contract revision. An app that comes later than that is not waited for. A database
without any revision gets all of them in any phase: nobody uses it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import structlog
from alembic.runtime.migration import MigrationContext, RevisionStep, StampStep
from alembic.script import Script

from alembic_online.errors import ConfigurationError, ContractInTheWay, ReleaseInTheWay
from alembic_online.runs.releases import Sessions, find_sessions, find_version, is_older
from alembic_online.runs.steps import Steps
from alembic_online.runs.workers import Workers, find_workers

Phase = Literal["expand", "contract", "all"]

log = structlog.get_logger(__name__)


def safe_from_release(revision: Script) -> str | None:
    """The first release of the app that does without what this contract revision takes away; None for `expand`.

    ConfigurationError if its file declares neither phase correctly.
    """
    file = Path(revision.path).name
    phase = getattr(revision.module, "phase", "expand")
    release = getattr(revision.module, "safe_from_release", None)
    if phase not in {"expand", "contract"}:
        raise ConfigurationError(f'{file}: phase is {phase!r}; write "expand" or "contract"')
    if phase == "expand":
        if release is not None:
            raise ConfigurationError(f'{file}: safe_from_release is for a contract revision; write phase = "contract"')
        return None
    if not isinstance(release, str) or find_version(release) is None:
        raise ConfigurationError(
            f"{file}: a contract revision names the first release of the app that does without what it takes away, but "
            f'safe_from_release is {release!r}; write, for example, safe_from_release = "0.4.0"'
        )
    return release


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


def is_contract(revision: Script) -> bool:
    """Whether it takes away what older releases use."""
    return safe_from_release(revision) is not None


def in_phase(steps: Steps, phase: Phase) -> Steps:
    """`steps`, from one revision to another, as far as an upgrade in this phase goes.

    ContractInTheWay or ReleaseInTheWay if it may not begin. Downgrades and stamps are not checked: people who run them
    are expected to know the state.
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
            _require_nothing_behind(due, waiting)
        if not context.as_sql:
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
    if waiting and not due:
        log.info("nothing to do in this phase", phase=phase)
    if waiting:
        log.info("waiting for their phase", revisions=[revision.revision for revision in waiting], phase=phase)


def _require_nothing_behind(due: list[Script], waiting: list[Script]) -> None:
    """ContractInTheWay if an expand revision, which the next release needs, is among those that wait."""
    behind = next((revision for revision in waiting if not is_contract(revision)), None)
    if behind is not None:
        before = (
            f"alembic upgrade {due[-1].revision}, roll out release {safe_from_release(waiting[0])} of the app, and run "
            if due
            else ""
        )
        raise ContractInTheWay(
            f"revision {behind.revision} waits behind the contract revision {waiting[0].revision}, so nothing is "
            f"applied: first run {before}MIGRATOR_PHASE=contract alembic upgrade {waiting[0].revision}; or, if no app "
            "is at work, run this with MIGRATOR_PHASE=all"
        )


def _require_releases_gone(context: MigrationContext, revisions: list[Script]) -> None:
    """ReleaseInTheWay if a release is at work that uses what one of these takes away."""
    contracts = [(revision, release) for revision in revisions if (release := safe_from_release(revision))]
    assert context.connection is not None
    application = context.opts["project"].application
    at_work: list[Sessions | Workers] = []
    if contracts:
        at_work = [*find_sessions(context.connection, application), *find_workers(context.connection, application)]
    for revision, release in contracts:
        if older := [found for found in at_work if is_older(found.release, release)]:
            nameless = any(find_version(found.release) is None for found in older)
            raise ReleaseInTheWay(
                f"the contract revision {revision.revision} takes away what releases of the app before {release} use, "
                f"and is not begun while these are at work: {', '.join(map(str, older))}. Roll out release "
                f"{release} everywhere, or stop these, then run this again"
                + ("; a release that is not a version number counts as older (RELEASE)" if nameless else "")
                + ("; MIGRATOR_PHASE=expand applies what comes before it" if revisions[0] != revision else "")
            )
