"""Some rows of each table, and all rows that they refer to."""

import tempfile
from dataclasses import dataclass

import asyncpg

# At most so many steps along foreign keys: longer chains of rows are cut.
ROUNDS = 100

_TABLES = """\
SELECT nspname, relname, quote_ident(nspname) || '.' || quote_ident(relname), relkind = 'r',
    ARRAY(
        SELECT attname::text FROM pg_attribute
        WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
    ),
    coalesce((
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY position)
        FROM pg_index, unnest(indkey) WITH ORDINALITY AS key (number, position)
        JOIN pg_attribute ON attnum = number
        WHERE indrelid = pg_class.oid AND attrelid = indrelid AND indisprimary
    ), '')
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p') AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
ORDER BY 1, 2"""
_FOREIGN_KEYS = """\
SELECT child.nspname, of_child.relname, parent.nspname, of_parent.relname, convalidated,
    ARRAY(
        SELECT quote_ident(attname) FROM unnest(conkey) WITH ORDINALITY AS key (number, position)
        JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY position
    ),
    ARRAY(
        SELECT quote_ident(attname) FROM unnest(confkey) WITH ORDINALITY AS key (number, position)
        JOIN pg_attribute ON attrelid = confrelid AND attnum = number ORDER BY position
    ),
    ARRAY(
        SELECT format_type(atttypid, atttypmod) FROM unnest(confkey) WITH ORDINALITY AS key (number, position)
        JOIN pg_attribute ON attrelid = confrelid AND attnum = number ORDER BY position
    )
FROM pg_constraint
JOIN pg_class of_child ON of_child.oid = conrelid JOIN pg_namespace child ON child.oid = of_child.relnamespace
JOIN pg_class of_parent ON of_parent.oid = confrelid JOIN pg_namespace parent ON parent.oid = of_parent.relnamespace
WHERE contype = 'f' AND conparentid = 0 ORDER BY conname"""


@dataclass(frozen=True)
class SampledTable:
    """A table. `quoted` and `key`, its primary key, are SQL; `columns` has no generated ones."""

    schema: str
    name: str
    quoted: str
    has_rows: bool
    """Whether it has rows of its own: a partitioned table has only those of its partitions."""
    columns: list[str]
    key: str

    @property
    def source(self) -> str:
        """The FROM that reads its own rows."""
        return f"ONLY {self.quoted}" if self.has_rows else self.quoted


@dataclass(frozen=True)
class SampledKey:
    """A foreign key; columns are SQL."""

    child: SampledTable
    parent: SampledTable
    is_validated: bool
    columns: list[str]
    referred: list[str]
    types: list[str]

    @property
    def orphans(self) -> str:
        """The rows of the child whose parent is missing, as a FROM with its WHERE."""
        there = " AND ".join(f"child.{c} = parent.{r}" for c, r in zip(self.columns, self.referred, strict=True))
        given = " AND ".join(f"child.{column} IS NOT NULL" for column in self.columns)
        return (
            f"{self.child.quoted} child WHERE {given}"
            f" AND NOT EXISTS (SELECT FROM {self.parent.quoted} parent WHERE {there})"
        )


async def find_tables(real: asyncpg.Connection) -> list[SampledTable]:
    """The tables of all schemas, including partitioned ones and their partitions."""
    return [SampledTable(*row) for row in await real.fetch(_TABLES)]


async def copy_rows(
    real: asyncpg.Connection, copy: asyncpg.Connection, table: SampledTable, rest: str = "", *arguments: object
) -> int:
    """Copy the rows of `SELECT ... FROM table` followed by `rest`; their number."""
    if not table.columns:
        return 0
    columns = ", ".join('"{}"'.format(column.replace('"', '""')) for column in table.columns)
    query = f"SELECT {columns} FROM {table.source} {rest}"  # noqa: S608 - names are quoted
    with tempfile.TemporaryFile() as rows:
        await real.copy_from_query(query, *arguments, output=rows)
        rows.seek(0)
        done = await copy.copy_to_table(table.name, schema_name=table.schema, columns=table.columns, source=rows)
    return int(done.split()[-1])


async def copy_sample(
    real: asyncpg.Connection, copy: asyncpg.Connection, tables: list[SampledTable], sample: int
) -> dict[str, int]:
    """Copy the first `sample` rows of each table by its primary key, and all that they refer to; rows by table.

    The copy must not have constraints or triggers yet.
    """
    for table in tables:
        if table.has_rows:
            order = f"ORDER BY {table.key} " if table.key else ""
            await copy_rows(real, copy, table, f"{order}LIMIT {sample}")
    by_name = {(table.schema, table.name): table for table in tables}
    foreign_keys = [
        SampledKey(by_name[child_schema, child], by_name[parent_schema, parent], *rest)
        for child_schema, child, parent_schema, parent, *rest in await real.fetch(_FOREIGN_KEYS)
        if (child_schema, child) in by_name and (parent_schema, parent) in by_name
    ]
    for _ in range(ROUNDS):
        if not sum([await _copy_parents(real, copy, key) for key in foreign_keys]):
            break
    while sum([await _delete_orphans(copy, key) for key in foreign_keys if key.is_validated]):
        pass
    return {
        table.quoted.removeprefix("public."): await copy.fetchval(f"SELECT count(*) FROM {table.source}")  # noqa: S608 - it is quoted
        for table in tables
        if table.has_rows
    }


async def _copy_parents(real: asyncpg.Connection, copy: asyncpg.Connection, key: SampledKey) -> int:
    """Copy the rows that the child's rows refer to and that are still missing; their number."""
    wanted = ", ".join(f"child.{column}::text" for column in key.columns)
    missing = await copy.fetch(f"SELECT DISTINCT {wanted} FROM {key.orphans}")  # noqa: S608 - names are quoted
    if not missing:
        return 0
    numbers = range(1, len(key.columns) + 1)
    arrays = ", ".join(f"${number}::text[]" for number in numbers)
    values = ", ".join(f"value_{number}::{type_}" for number, type_ in zip(numbers, key.types, strict=True))
    names = ", ".join(f"value_{number}" for number in numbers)
    among = f"WHERE ({', '.join(key.referred)}) IN (SELECT {values} FROM unnest({arrays}) missing ({names}))"  # noqa: S608 - names are quoted
    return await copy_rows(real, copy, key.parent, among, *(list(column) for column in zip(*missing, strict=True)))


async def _delete_orphans(copy: asyncpg.Connection, key: SampledKey) -> int:
    ends = f"DELETE FROM {key.child.quoted} WHERE ctid IN (SELECT child.ctid FROM {key.orphans})"  # noqa: S608 - names are quoted
    return int((await copy.execute(ends)).split()[-1])
