"""What was found, in the form of Alembic's operations: its `check` shows them, and autogenerate makes steps of them."""

from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation


class Difference(MigrateOperation):
    """A difference, named as Alembic names its own."""

    def __init__(self, kind: str, *what: Any) -> None:
        self.kind, self.what = kind, what

    def to_diff_tuple(self) -> tuple[Any, ...]:
        return self.kind, *self.what

    def reverse(self) -> "Difference":
        return self  # Alembic asks for it; what goes back is decided once there are steps


class EnumValues(Difference):
    """An enum type's values differ."""

    def __init__(self, type_: sa.Enum, there: list[str]) -> None:
        super().__init__("change_enum", type_, there, list(type_.enums))
        self.type, self.there = type_, there


class Generated(Difference):
    """A column is generated, or by another expression, in one of the two only."""

    def __init__(self, column: sa.Column[Any], there: sa.Column[Any]) -> None:
        super().__init__("change_generated", column, there)
        self.column, self.there = column, there


class PrimaryKey(Difference):
    """A table's primary key differs."""

    def __init__(self, table: sa.Table, there: tuple[str, ...]) -> None:
        super().__init__("change_primary_key", table.primary_key, there)
        self.table, self.there = table, there


class NewSequence(Difference):
    """A sequence of the models does not exist."""

    def __init__(self, sequence: sa.Sequence) -> None:
        super().__init__("add_sequence", sequence)
        self.sequence = sequence
