"""Facts of the database that a statement does not show."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

ID = frozenset({frozenset({"id"})})


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key. `changes_on_delete` is whether a DELETE of a referenced row changes the rows that refer to it.

    `is_part` is whether there is one of a partition, or to a partition, because there is one of the whole table.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    referred: str
    referred_columns: tuple[str, ...]
    changes_on_delete: bool = False
    is_enforced: bool = True
    is_part: bool = False

    def may_become_part_of(self, columns: Iterable[str], referred: str) -> bool:
        """Whether a foreign key of the whole table would take this one in, instead of a new one for the partition."""
        return (set(self.columns), self.referred, self.is_part) == (set(columns), referred, False)


@dataclass(frozen=True)
class Schema:
    """A schema. Tables, views and types are named as in `Effect`; columns and constraints by their plain names."""

    is_known: bool = False
    """Whether this was read from a database, so that what is not listed does not exist."""
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For each table, the type of each column, as `format_type` prints it."""
    indexes: Mapping[str, str] = field(default_factory=dict)
    """The table of each index, by the index's name."""
    foreign_keys: tuple[ForeignKey, ...] = ()
    checked: AbstractSet[tuple[str, str]] = frozenset()
    """Table and column: the columns in a validated CHECK."""
    not_null: AbstractSet[tuple[str, str]] = frozenset()
    """Table and column: the NOT NULL columns, except those that are NOT NULL by a constraint in `proofs`."""
    proofs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Table and constraint: the column that the constraint, which is validated, proves to be never NULL."""
    unproven: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The same for constraints that are not validated yet."""
    keys: Mapping[str, AbstractSet[frozenset[str]]] = field(default_factory=dict)
    """For each table, the sets of columns that are unique."""
    children: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The partitions of a table, and the tables that inherit from it: the next generation only."""
    partitioned: AbstractSet[str] = frozenset()
    """The partitioned tables, which have no rows of their own."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """The default partition of a partitioned table."""
    indexed: AbstractSet[tuple[str, str]] = frozenset()
    """Partitioned table and column: the columns in an index that all partitions have."""
    reads: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The tables and views that a view, or a materialized view, reads."""
    materialized: AbstractSet[str] = frozenset()
    """The materialized views."""
    statistics: Mapping[str, str] = field(default_factory=dict)
    """The table of each object of extended statistics, by its name."""
    domains: Mapping[str, bool] = field(default_factory=dict)
    """Whether a domain has constraints."""
    functions: Mapping[str, bool] = field(default_factory=dict)
    """Whether a function that is not Postgres's own is volatile, by its name."""

    def column_type(self, table: str, column: str) -> str | None:
        """The type of a column, as `format_type` prints it; None if it is not known."""
        return self.columns.get(table, {}).get(column)

    def is_never_null(self, table: str, column: str) -> bool:
        """Whether the column is known to have no NULL, so that no row has to be checked."""
        return (table, column) in self.not_null or any(
            (table, column) == (proven, proofs) for (proven, _), proofs in self.proofs.items()
        )

    def keys_of(self, table: str) -> AbstractSet[frozenset[str]]:
        """The sets of columns that are unique. Of a table that is not known, `id` is assumed to be one."""
        return self.keys.get(table, frozenset() if self.is_known else ID)

    def descendants(self, table: str) -> Iterator[str]:
        """The partitions of the table, and the tables that inherit from it, of all generations."""
        for child in self.children.get(table, ()):
            yield child
            yield from self.descendants(child)

    def partitions(self, table: str) -> Iterator[str]:
        """The partitions of the table, of all generations."""
        return self.descendants(table) if table in self.partitioned else iter(())

    def with_partitions(self, table: str) -> list[str]:
        """The table, and its partitions of all generations."""
        return [table, *self.partitions(table)]

    def parents(self, table: str) -> list[str]:
        """The tables that this one is a partition of, or inherits from."""
        return [parent for parent, children in self.children.items() if table in children]

    def refers_to(self, table: str) -> list[ForeignKey]:
        """The foreign keys of the table that are enforced."""
        return [key for key in self.foreign_keys if key.table == table and key.is_enforced]

    def referred_by(self, table: str) -> list[ForeignKey]:
        """The foreign keys that refer to the table and are enforced."""
        return [key for key in self.foreign_keys_to(table) if key.is_enforced]

    def foreign_keys_to(self, table: str) -> list[ForeignKey]:
        """The foreign keys that refer to the table, also those that are not enforced."""
        return [key for key in self.foreign_keys if key.referred == table]
