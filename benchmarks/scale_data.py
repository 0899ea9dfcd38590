"""Generates a zoo of any size, as it might be after years: animals in exhibits, and what other parts have."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from benchmarks import scale_users

PER_EXHIBIT = 1_000
"""Animals for each exhibit: it is their number that grows."""
COMMON, RARE = "Giraffa camelopardalis", "Rarus singularis"
RARE_NAME = "Xyloquz"

# Pseudo-random, and the same each time: a number from 0 to below `of`, other for each `salt`.
_PICK = "(hashint8(n + {salt} * 1000000007::bigint)::bigint & 2147483647) % {of}"
_SYLLABLES = "ka ma ra ti lo be na zu shi an do ne sa pa mi ru to gi la fa ho ye wa ba in".split()  # noqa: SIM905 - shorter


def pick(of: str | int, salt: int) -> str:
    """SQL of a number from 0 to below `of` for each row, other for each `salt`."""
    return _PICK.format(of=of, salt=salt)


def _name() -> str:
    array = f"ARRAY[{', '.join(map(repr, _SYLLABLES))}]"
    parts = " || ".join(f"({array})[1 + {pick(len(_SYLLABLES), salt)}]" for salt in range(1, 5))
    return f"initcap({parts})"


EXHIBITS = "INSERT INTO exhibits (name) SELECT 'Exhibit ' || n FROM generate_series({first}, {last}) AS n"
_ANIMALS = f"""
INSERT INTO animals (name, species, description, exhibit_id, created_at, updated_at, deleted_at)
SELECT CASE WHEN n % 100000 = 77 THEN '{RARE_NAME}' ELSE {_name()} END,
    CASE WHEN n <= 3 THEN '{RARE}' WHEN n % 2 = 0 THEN '{COMMON}' ELSE 'Species ' || {pick(500, 5)} END,
    'Born at the zoo in ' || 1990 + n % 30 || '.',
    CASE WHEN n % 10 > 0 THEN 1 + {pick("{exhibits}", 6)} END,
    at, at + interval '1 h' * ({pick(1000, 7)}),
    CASE WHEN n % 33 = 0 THEN timestamptz '2026-01-01' END
FROM generate_series({{first}}, {{last}}) AS n,
    LATERAL (SELECT timestamptz '2020-01-01' + n * interval '10 s') AS created (at)
"""
ROWS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Rows:
    """SQL that adds the rows `{first}` to `{last}`, and the tables that get them."""

    sql: str
    tables: tuple[str, ...]


@dataclass
class Growing:
    """The connection of a superuser to a zoo, and how many animals it has so far, and of `others`, each."""

    connection: asyncpg.Connection
    others: Sequence[Rows] = ()
    size: int = 0

    async def grow(self, size: int) -> None:
        """To `size` animals, and as many others. Indexes are made after the rows, which is quicker than with each."""
        run, before = self.connection.execute, self.size
        await run("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'; SET work_mem = '256MB'")
        counts = {
            "exhibits": max(1, size // PER_EXHIBIT),
            "visitors": scale_users.visitors(size),
        }
        await run(EXHIBITS.format(first=before // PER_EXHIBIT + 1, last=counts["exhibits"]))
        await scale_users.grow(self.connection, before, size)
        tables = [Rows(_ANIMALS, ("animals",)), *self.others]
        indexes = await self.connection.fetch(
            "SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE NOT indisunique AND indrelid::regclass::text = ANY ($1)",
            [table for rows in tables for table in rows.tables],
        )
        for drop, _ in indexes:
            await run(drop)
        for rows in tables:
            for first in range(before + 1, size + 1, ROWS_AT_ONCE):
                async with self.connection.transaction():
                    await run(rows.sql.format(first=first, last=min(first + ROWS_AT_ONCE - 1, size), **counts))
        for _, create in indexes:
            await run(create)
        await run("VACUUM (ANALYZE)")
        await run("CHECKPOINT")
        self.size = size
