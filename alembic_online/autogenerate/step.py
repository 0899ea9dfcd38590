"""Autogenerate's findings become steps, each with its place in the order of a change."""

from collections.abc import Iterable, Iterator
from enum import IntEnum

from alembic.operations import MigrateOperation, ops

from alembic_online.operations.rows import BackfillOp


class Place(IntEnum):
    """Where a step stands in a change. Steps that are TOGETHER share a revision, the others have one each.

    What the app's new release needs comes before what only makes it faster or safer, and what takes something away
    comes last. The contract phase waits until the previous release has gone.
    """

    VALUES = 0
    """Values of enum types, which can't be used before they are committed."""
    TOGETHER = 1
    """Changes of the catalogs, in one transaction."""
    FILL = 2
    """Rows get values, and a column becomes NOT NULL."""
    BUILD = 3
    """Indexes, unique constraints and checks."""
    REFER = 4
    """Foreign keys, which may need a unique constraint."""
    LOOSEN = 5
    """Foreign keys are dropped, before what they refer to."""
    DROP = 6
    """Indexes that are not unique are dropped."""
    CONTRACT = 7
    """What would break the previous release."""
    CONTRACT_TOGETHER = 8
    """Likewise, in one transaction."""

    @property
    def is_shared(self) -> bool:
        """Whether all of these steps are one revision."""
        return self in {Place.VALUES, Place.TOGETHER, Place.CONTRACT_TOGETHER}

    @property
    def is_contract(self) -> bool:
        """Whether these steps belong to the contract phase."""
        return self >= Place.CONTRACT


class Step(ops.OpContainer):
    """Operations that belong together; `title` says in a few words what they do."""

    def __init__(self, place: Place, title: str, *operations: MigrateOperation) -> None:
        super().__init__(operations)
        self.place, self.title = place, title


class Note(MigrateOperation):
    """A comment in the revision: `text` has paragraphs; an indented paragraph keeps its lines."""

    def __init__(self, text: str) -> None:
        self.text = text


class Nothing(MigrateOperation):
    """`pass`."""


class Execute(ops.ExecuteSQLOp):
    """`op.execute`, with the statement that reverts it, or why none does."""

    def __init__(self, sqltext: str, inverse: "str | Note") -> None:
        super().__init__(sqltext)
        self.inverse = inverse

    def reverse(self) -> "Execute | Note":
        return self.inverse if isinstance(self.inverse, Note) else Execute(self.inverse, str(self.sqltext))


def flat(operations: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
    """The operations, with containers replaced by what they contain."""
    for operation in operations:
        if isinstance(operation, ops.OpContainer):
            yield from flat(operation.ops)
        else:
            yield operation


def inverse(operations: Iterable[MigrateOperation]) -> list[MigrateOperation]:
    """The operations that revert these, the last first. A column that is dropped needs no other change before that."""
    found = list(flat(operations))
    added = {(each.table_name, each.column.name) for each in found if isinstance(each, ops.AddColumnOp)}
    return [
        each.reverse()
        for each in reversed(found)
        if not isinstance(each, Note | Nothing | BackfillOp)
        and not (isinstance(each, ops.AlterColumnOp) and (each.table_name, each.column_name) in added)
    ]
