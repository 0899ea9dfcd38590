"""Sequences that stand in the models by themselves: `Sequence("numbers", metadata=...)`, or a column's."""

from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.util import PriorityDispatchResult, to_list

from alembic_online.compare.differences import NewSequence


def compare(context: AutogenContext, changes: ops.UpgradeOps, _: set[str | None]) -> PriorityDispatchResult:
    """Alembic's comparator of schemas: sequences that don't exist. One that the models lack may be anybody's."""
    inspector = context.inspector
    wanted = [sequence for metadata in to_list(context.metadata) for sequence in metadata._sequences.values()]  # noqa: SLF001
    missing = [sequence for sequence in wanted if not inspector.has_sequence(sequence.name, schema=sequence.schema)]
    changes.ops.extend(NewSequence(sequence) for sequence in missing)
    return PriorityDispatchResult.CONTINUE
