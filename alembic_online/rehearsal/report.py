"""What a rehearsal has found."""

from dataclasses import asdict, dataclass, field
from typing import Any

from alembic_online.rehearsal.trace import Leg


@dataclass(frozen=True)
class TableReport:
    """A table under one statement. Locks have the names that SQL has for them."""

    table: str
    planned_lock: str | None
    planned_work: str | None
    lock: str | None
    """The strongest that the statement took; None where it took none that its revision did not hold already."""
    held: str | None
    is_rewritten: bool
    is_scanned: bool
    surprise: str | None
    """What the plan did not say."""


@dataclass(frozen=True)
class StatementReport:
    """A statement, or the batches of a backfill. `sql` is as it was carried out, or else as planned.

    `not_measured` says why where that is so, or what may be missing.
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
    """A part of the way; `error` is why it ended early, `place` the revision and the line of its file."""

    leg: Leg
    seconds: float
    error: str | None = None
    place: str | None = None
    is_on_purpose: bool = False
    """Whether a downgrade says of itself, by NotImplementedError, that there is none."""


@dataclass(frozen=True)
class Rehearsal:
    """What was found. `rows` are those of the sample by table, of all tables of the real database."""

    database: str
    revisions: dict[str, str]
    """Their subjects, the oldest first."""
    sample: int
    rows: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    """What of the schema the migrator's role may not make, and what needs that: statements, and why not."""
    plan_unknown: dict[str, str] = field(default_factory=dict)
    """Why the plan can't tell what a revision does."""
    legs: list[LegReport] = field(default_factory=list)
    statements: list[StatementReport] = field(default_factory=list)
    not_taken_back: list[str] = field(default_factory=list)
    """Revisions whose downgrade does nothing, though they have changed the schema."""
    differences: dict[str, str] = field(default_factory=dict)
    """Where schemas differ that should not: what was compared, and a unified diff."""
    drift: list[str] = field(default_factory=list)
    """What would have to be done for the final schema to be what the models say."""

    @property
    def surprises(self) -> list[str]:
        """What was measured and is not in the plan."""
        found = (
            f"{statement.revision} line {statement.line}: {table.table} {table.surprise}"
            for statement in self.statements
            for table in statement.tables
            if table.surprise
        )
        return list(dict.fromkeys(found))  # it may be one twice: the second time up

    @property
    def is_fine(self) -> bool:
        """Whether all went well, and as planned."""
        failed = any(leg.error and not leg.is_on_purpose for leg in self.legs)
        return not (failed or self.surprises or self.differences or self.drift or self.not_taken_back)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "surprises": self.surprises, "is_fine": self.is_fine}
