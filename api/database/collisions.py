"""Which record has a value already that was to be unique, for whatever table and unique index."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice, pairwise

import asyncpg

from api.database.statements import Executor

# Values are told apart by a comma, which they may have in them: then there are several ways to read them.
MAX_READINGS = 20

# The index's table, with its key; the parts of what is unique, with their types; of which rows.
_INDEX = """
SELECT c.relname::text AS name, i.indrelid::regclass::text AS quoted,
       (SELECT array_agg(quote_ident(attname)) FROM pg_index p JOIN pg_attribute a ON attrelid = p.indrelid
        WHERE p.indrelid = i.indrelid AND p.indisprimary AND attnum = ANY (p.indkey)) AS key,
       (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = i.indrelid AND attnum > 0) AS columns,
       array_agg(pg_get_indexdef(i.indexrelid, part.attnum, false) ORDER BY part.attnum) AS parts,
       array_agg(format_type(part.atttypid, NULL) ORDER BY part.attnum) AS types,
       coalesce(pg_get_expr(i.indpred, i.indrelid), 'true') AS predicate
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_attribute part ON part.attrelid = i.indexrelid AND part.attnum <= i.indnkeyatts
WHERE i.indexrelid = to_regclass(format('%I.%I', $1::text, $2::text))
GROUP BY i.indexrelid, i.indrelid, i.indpred, c.relname
"""
# "Key (code, zone)=(A 7, 2) already exists.", in the language of the server.
_VALUES = re.compile(r"\(.+?\)=\((.*)\)", re.DOTALL)
# Of an expression: a literal, a quoted name, or one that is neither a function's nor a type's.
_NAMES = re.compile(r"""'(?:[^']|'')*'|"((?:[^"]|"")+)"|(?<![:\w])(\w+)\b(?!\()""")


@dataclass(frozen=True)
class Collision:
    """The fields whose value is not unique, and the record that has it already: its key, None if it is gone."""

    table: str
    fields: tuple[str, ...]
    key: str | None

    def __str__(self) -> str:
        holder = f"another of {self.table}" if self.key is None else f"{self.table} {self.key}"
        return f"{' and '.join(self.fields)}: {holder} has the same"


Fields = Mapping[tuple[str, str], str]
"""The name that clients know a table's column by, where it is another."""


async def find_collision(db: Executor, error: asyncpg.UniqueViolationError, fields: Fields) -> Collision:
    """What `error` collides with. `db` is not in the transaction that has failed."""
    index = await db.fetchrow(_INDEX, error.schema_name, error.constraint_name)
    if index is None:  # dropped meanwhile
        return Collision(error.table_name, (error.constraint_name,), None)
    names = {quoted.replace('""', '"') or plain for quoted, plain in _NAMES.findall(" ".join(index["parts"]))}
    columns = [column for column in index["columns"] if column in names]
    known = tuple(fields.get((index["name"], column), column) for column in columns)
    where = [
        f"({part}) = ${n}::text::{kind}"
        for n, (part, kind) in enumerate(zip(index["parts"], index["types"], strict=True), 1)
    ]
    key = ", ".join(f"{column}::text" for column in index["key"] or ["NULL"])
    sql = f"SELECT concat_ws(', ', {key}) FROM {index['quoted']} WHERE {' AND '.join(where)} AND ({index['predicate']})"  # noqa: S608 - names from the catalog, quoted by Postgres
    found = _VALUES.search(error.detail or "")
    for values in islice(_readings(found[1] if found else "", len(where)), MAX_READINGS):
        try:
            record = await db.fetchrow(sql, *values)
        except asyncpg.DataError:  # not a value of this type: it was another reading
            continue
        if record is not None:
            return Collision(index["name"], known, record[0])
    return Collision(index["name"], known, None)


def _readings(text: str, count: int) -> Iterator[list[str]]:
    """Each way to read `text` as `count` values, with a comma and a space between them."""
    pieces = text.split(", ")
    for cuts in combinations(range(1, len(pieces)), count - 1):
        bounds = [0, *cuts, len(pieces)]
        yield [", ".join(pieces[a:b]) for a, b in pairwise(bounds)]
