"""What a backfill is to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alembic_online.expressions import quote

# Types that have no equality of their own.
COMPARED_AS_TEXT = {"json", "xml"}


@dataclass(frozen=True)
class Backfill:
    """The arguments of `op.backfill`: `values` are SQL expressions by column, `where` is a condition in SQL.

    An expression with another result each time, such as random(), needs a `where` that is false for rows that are done:
    nothing else tells that a row is right.
    """

    table: str
    values: Mapping[str, str]
    where: str | None = None
    key: Sequence[str] = ("id",)
    schema: str | None = None

    @property
    def target(self) -> str:
        """The table, as SQL."""
        return f"{quote(self.schema)}.{quote(self.table)}" if self.schema else quote(self.table)

    @property
    def keys(self) -> list[str]:
        """The columns of the key, as SQL."""
        return [quote(column) for column in self.key]

    @property
    def forwards(self) -> str:
        """The order of the key."""
        return ", ".join(self.keys)

    @property
    def backwards(self) -> str:
        """The reverse order of the key."""
        return ", ".join(f"{key} DESC" for key in self.keys)

    def update(self, rows: str, types: Mapping[str, str] | None = None) -> str:
        """The UPDATE of those of these rows that are wrong; `types` are the columns' types, if known."""
        values = ", ".join(f"{quote(column)} = {value}" for column, value in self.values.items())
        wrong = " OR ".join(_differs(column, value, types) for column, value in self.values.items())
        where = f" AND ({self.where})" if self.where else ""
        return f"UPDATE {self.target} SET {values} WHERE {rows}{where} AND ({wrong})"  # noqa: S608 - names are quoted, and the rest is SQL


def _differs(column: str, value: str, types: Mapping[str, str] | None) -> str:
    if types is None:
        return f"{quote(column)} IS DISTINCT FROM ({value})"
    # Compared as the column will hold it, for example rounded; otherwise it would differ for ever.
    will_be = f"CAST(({value}) AS {types[column]})"
    as_text = "::text" if types[column] in COMPARED_AS_TEXT else ""
    return f"{quote(column)}{as_text} IS DISTINCT FROM {will_be}{as_text}"


def between(keys: Sequence[str], after: Sequence[str] | None, through: Sequence[str]) -> str:
    """The condition for rows after the key `after`, or from the first row, up to and including the key `through`."""
    upper = f"{row(keys)} <= {row(through)}"
    return upper if after is None else f"{row(keys)} > {row(after)} AND {upper}"


def row(columns: Sequence[str]) -> str:
    """The columns as one value that can be compared."""
    return f"({', '.join(columns)})"
