"""What a statement does not show, and the database knows."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key. `changes_on_delete` is whether a DELETE of a row that is referred to changes those that refer."""

    name: str
    table: str
    columns: tuple[str, ...]
    referred: str
    referred_columns: tuple[str, ...]
    changes_on_delete: bool = False


@dataclass(frozen=True)
class Schema:
    """What is there. Tables, views and types are named as in `Effect`; columns and constraints by their plain names."""

    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of each table, the type of each column, as `format_type` prints it."""
    indexes: Mapping[str, str] = field(default_factory=dict)
    """The table of each index, by the index's name."""
    foreign_keys: tuple[ForeignKey, ...] = ()
    checked: AbstractSet[tuple[str, str]] = frozenset()
    """Table and column: those that a CHECK is about."""
    never_null: AbstractSet[tuple[str, str]] = frozenset()
    """Table and column: those of which a validated CHECK, or NOT NULL, says so."""
    children: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The partitions of a table, and those that inherit from it: the next generation."""
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The tables and views that a view, or a materialized one, is made of."""
    domains: Mapping[str, bool] = field(default_factory=dict)
    """Whether a domain has constraints."""
    functions: Mapping[str, bool] = field(default_factory=dict)
    """Whether a function that is not Postgres's own is volatile, by its name."""

    def column_type(self, table: str, column: str) -> str | None:
        """The type of a column, as `format_type` prints it; None where there is none."""
        return self.columns.get(table, {}).get(column)

    def descendants(self, table: str) -> Iterator[str]:
        """The partitions of the table, and those that inherit from it, of all generations."""
        for child in self.children.get(table, ()):
            yield child
            yield from self.descendants(child)

    def parents(self, table: str) -> list[str]:
        """The tables that this one is a partition of, or inherits from."""
        return [parent for parent, children in self.children.items() if table in children]

    def refers_to(self, table: str) -> list[ForeignKey]:
        """The foreign keys of the table."""
        return [key for key in self.foreign_keys if key.table == table]

    def referred_by(self, table: str) -> list[ForeignKey]:
        """The foreign keys of others, and of its own, that refer to the table."""
        return [key for key in self.foreign_keys if key.referred == table]
