"""One change becomes as many revisions as it needs: what has to stand alone gets one of its own."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alembic.operations import MigrateOperation, ops
from alembic.runtime.migration import MigrationContext
from alembic.util import rev_id

from alembic_online.autogenerate.step import Note, Nothing, Place, Step, flat, inverse

WHICH_RELEASE = """\
safe_from_release has to be the first release of the app with these models. If they are released under another version
than this, write that one."""
SUBJECT_LENGTH = 110
"""A subject is the first line of its file."""


@dataclass
class Part:
    """What will be one revision."""

    place: Place
    title: str
    operations: list[MigrateOperation]
    why: str | None = None
    safe_from_release: str | None = None
    """The first release that can live with it, where the previous one can't."""

    @property
    def does_something(self) -> bool:
        """Whether there is more in it than comments."""
        return not _are_comments(self.operations)


def into_revisions(context: MigrationContext, _: Any, directives: list[ops.MigrationScript]) -> None:
    """Put each part of the change into a script of its own, each based on the one before.

    For the template of revisions, `parts` has each revision's part, by revision id.
    """
    (script,) = directives
    (upgrade,), (downgrade,) = script.upgrade_ops_list, script.downgrade_ops_list
    parts = _parts(step for step in upgrade.ops if isinstance(step, Step))
    scripts, subject = [script], script.message
    for number, part in enumerate(parts, 1):
        if number > 1:
            scripts.append(_upon(scripts[-1]))
            part.why = f"the change that revision {script.rev_id} begins."
        if part.place.is_contract:
            part.safe_from_release = context.opts["release"]
        if len(parts) > 1:
            scripts[-1].message = _subject(f"{number:0{len(str(len(parts)))}} of {len(parts)}", subject, part.title)
        scripts[-1].upgrade_ops = ops.UpgradeOps(part.operations, upgrade.upgrade_token)
        scripts[-1].downgrade_ops = ops.DowngradeOps(_complete(inverse(part.operations)), downgrade.downgrade_token)
    directives[:] = scripts
    if template := context.opts.get("template_args"):
        template["parts"] = {script.rev_id: part for script, part in zip(scripts, parts, strict=False)}


def _parts(steps: Iterable[Step]) -> list[Part]:
    parts: list[Part] = []
    for step in sorted(steps, key=lambda step: step.place):
        operations = list(flat(step.ops))
        if parts and parts[-1].place is step.place and step.place.is_shared:
            parts[-1].operations += operations
            parts[-1].title += f", {step.title}" if step.title else ""
        else:
            parts.append(Part(step.place, step.title, operations))
    if len(parts) > 1 and not parts[0].does_something:  # comments need no revision of their own
        comments = parts.pop(0)
        parts[0].operations[:0] = comments.operations
    for part in parts:
        if part.place.is_contract:
            part.operations.insert(0, Note(WHICH_RELEASE))
        part.operations = _complete(part.operations)
    return parts


def _complete(operations: list[MigrateOperation]) -> list[MigrateOperation]:
    """These, as a function's body: comments alone are none."""
    return [*operations, Nothing()] if _are_comments(operations) else operations


def _are_comments(operations: list[MigrateOperation]) -> bool:
    return all(isinstance(operation, Note) for operation in operations)


def _upon(script: ops.MigrationScript) -> ops.MigrationScript:
    """The next script."""
    return ops.MigrationScript(
        rev_id(),
        ops.UpgradeOps(),
        ops.DowngradeOps(),
        head=script.rev_id,
        splice=script.splice,
        version_path=script.version_path,
    )


def _subject(number: str, subject: str | None, title: str) -> str:
    """The number comes first, because file names are truncated and sorted."""
    whole = f"{number}: {subject} ({title})" if subject else f"{number}: {title}"
    return whole if len(whole) <= SUBJECT_LENGTH else f"{whole[: SUBJECT_LENGTH - 3]}..."
