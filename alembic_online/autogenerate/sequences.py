"""Sequences of the models."""

from collections.abc import Iterator

from sqlalchemy.schema import CreateSequence, DropSequence

from alembic_online.autogenerate.step import Execute, Place, Step
from alembic_online.compare.differences import NewSequence
from alembic_online.expressions import DIALECT


def create(difference: NewSequence) -> Iterator[Step]:
    """A sequence that does not exist."""
    sequence = difference.sequence
    statements = (str(ddl(sequence).compile(dialect=DIALECT)) for ddl in (CreateSequence, DropSequence))
    yield Step(Place.TOGETHER, f"sequence {sequence.name}", Execute(*statements))
