"""The SQL of a backfill's batches.

A batch is a range of keys, not a list of them: if another session is changing a row, the batch waits for it, and
computes from the row's new values. Keys are passed and returned as arrays of text, whatever their types.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from alembic_online.backfill.definition import Backfill, between
from alembic_online.errors import ConfigurationError
from alembic_online.expressions import quote

_COLUMNS = (
    "SELECT attname, format_type(atttypid, atttypmod), typcategory = 'D'"
    " FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid"
    " WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped"
)
# An index whose order the batches can follow, and whose columns are never NULL: a NOT NULL that is not validated says
# nothing about existing rows.
_HAS_INDEX = """\
SELECT EXISTS (
    SELECT FROM pg_index
    WHERE indrelid = to_regclass($1::text) AND indisunique AND indisvalid AND indpred IS NULL
    AND indnkeyatts = cardinality($2::text[])
    AND (0 = ALL (indoption::int2[]) OR 3 = ALL (indoption::int2[])) -- all ASC, or all DESC
    AND $2::text[] = ARRAY(
        SELECT attname::text
        FROM unnest(indkey::int2[], indclass::oid[], indcollation::oid[])
            WITH ORDINALITY AS part (number, opclass, ordered_as, position)
        JOIN pg_attribute ON attrelid = indrelid AND attnum = number
        JOIN pg_opclass ON pg_opclass.oid = opclass
        WHERE attnotnull AND attcollation = ordered_as AND opcname NOT LIKE '%pattern_ops' AND NOT EXISTS (
            SELECT FROM pg_constraint
            WHERE conrelid = indrelid AND contype = 'n' AND NOT convalidated AND conkey = ARRAY[number]
        ) ORDER BY position
    )
)"""


@dataclass(frozen=True)
class Batches:
    """The batches of a backfill of a table whose columns are known."""

    backfill: Backfill
    types: Mapping[str, str]
    """Of all columns of the table."""
    moments: frozenset[str]
    """The columns whose text depends on the session's DateStyle; their JSON doesn't."""

    @property
    def last_key(self) -> str:
        """The last key of the table."""
        return f"SELECT {self._as_text} FROM {self.backfill.target} ORDER BY {self.backfill.backwards} LIMIT 1"  # noqa: S608

    def find(self, *, is_first: bool) -> str:
        """Of the next `$2` rows after the key `$3`, up to the key `$1`: their last key, and how many they are."""
        keys = self.backfill.forwards
        return (
            f"WITH batch AS (SELECT {keys} FROM {self.backfill.target}"  # noqa: S608 - names are quoted
            f" WHERE {self._rows(None if is_first else '$3', '$1')} ORDER BY {keys} LIMIT $2::bigint)"
            f" SELECT {self._as_text}, (SELECT count(*) FROM batch) FROM batch"
            f" ORDER BY {self.backfill.backwards} LIMIT 1"
        )

    def write(self, then: str, *, is_first: bool) -> str:
        """Update the rows after the key `$2`, up to the key `$1`; `then` is part of the same statement.

        For each updated row, `then` finds one in `changed`.
        """
        update = self.backfill.update(self._rows(None if is_first else "$2", "$1"), self.types)
        return f"WITH changed AS ({update} RETURNING 1) {then}"

    def _rows(self, after: str | None, through: str) -> str:
        return between(self.backfill.keys, after and self._from_text(after), self._from_text(through))

    @property
    def _as_text(self) -> str:
        columns = (
            f"to_jsonb({quote(column)}) #>> '{{}}'" if column in self.moments else f"{quote(column)}::text"
            for column in self.backfill.key
        )
        return f"ARRAY[{', '.join(columns)}]"

    def _from_text(self, parameter: str) -> list[str]:
        return [
            f"CAST(({parameter}::text[])[{position}] AS {self.types[column]})"
            for position, column in enumerate(self.backfill.key, 1)
        ]


def find_batches(connection: Connection, backfill: Backfill) -> Batches:
    """The batches of a backfill; ConfigurationError if the table, a column, or the key's index does not exist."""
    columns = connection.exec_driver_sql(_COLUMNS, (backfill.target,)).all()
    types = {name: type_ for name, type_, _ in columns}
    if not types:
        raise ConfigurationError(f"op.backfill: there is no table {backfill.target}")
    if unknown := [column for column in (*backfill.values, *backfill.key) if column not in types]:
        raise ConfigurationError(f"op.backfill: {backfill.target} has no column {', '.join(unknown)}")
    if not connection.exec_driver_sql(_HAS_INDEX, (backfill.target, list(backfill.key))).scalar():
        raise ConfigurationError(
            f"op.backfill: {backfill.target} has no unique index on ({', '.join(backfill.keys)}), in this order, whose "
            "columns are NOT NULL: name its primary key, key=(...), or another key that has one"
        )
    return Batches(backfill, types, frozenset(name for name, _, is_moment in columns if is_moment))
