"""The findings of a rehearsal."""

from dataclasses import asdict, dataclass, field
from typing import Any

from alembic_online.rehearsal.trace import Leg


@dataclass(frozen=True)
class TableReport:
    """What one statement did to a table. Locks have their names in SQL."""

    table: str
    planned_lock: str | None
    planned_work: str | None
    lock: str | None
    """The strongest lock that the statement took; None if it took none beyond what its revision held already."""
    held: str | None
    is_rewritten: bool
    is_scanned: bool
    surprise: str | None
    """What was not planned."""


@dataclass(frozen=True)
class StatementReport:
    """A statement, or the batches of a backfill. `sql` is the text that ran, or else the planned one.

    `not_measured` says why it was not measured, or what may be missing.
    """

    leg: Leg
    revision: str
    line: int
    operation: str | None
    sql: str
    runs: int
    seconds: float
    is_planned: bool
    not_measured: str | None
    tables: list[TableReport]


@dataclass(frozen=True)
class LegReport:
    """One leg; `error` is why it ended early, `place` the revision and the line of its file."""

    leg: Leg
    seconds: float
    error: str | None = None
    place: str | None = None
    is_on_purpose: bool = False
    """Whether a downgrade raised NotImplementedError, to say that there is none."""


@dataclass(frozen=True)
class Rehearsal:
    """What was found. `rows` is the number of sampled rows of each table."""

    database: str
    revisions: dict[str, str]
    """Revisions and their subjects, the oldest first."""
    sample: int
    rows: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """Parts of the schema that the migrator's role may not create, and what needs them: statements, and why not."""
    plan_unknown: dict[str, str] = field(default_factory=dict)
    """By revision: why the plan does not know what it does."""
    legs: list[LegReport] = field(default_factory=list)
    statements: list[StatementReport] = field(default_factory=list)
    not_taken_back: list[str] = field(default_factory=list)
    """Revisions whose downgrade does nothing, although they changed the schema."""
    differences: dict[str, str] = field(default_factory=dict)
    """Differences of schemas that should be equal: what was compared, and a unified diff."""
    drift: list[str] = field(default_factory=list)
    """What would have to change in the final schema to agree with the models."""

    @property
    def surprises(self) -> list[str]:
        """What was measured but not planned."""
        found = (
            f"{statement.revision} line {statement.line}: {table.table} {table.surprise}"
            for statement in self.statements
            for table in statement.tables
            if table.surprise
        )
        return list(dict.fromkeys(found))  # both legs up may have the same

    @property
    def is_fine(self) -> bool:
        """Whether all succeeded, and as planned."""
        failed = any(leg.error and not leg.is_on_purpose for leg in self.legs)
        return not (failed or self.surprises or self.differences or self.drift or self.not_taken_back)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "surprises": self.surprises, "is_fine": self.is_fine}
