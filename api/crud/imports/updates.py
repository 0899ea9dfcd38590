"""Which records of a file are new, which have changed, and which are the same."""

from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from api.crud.imports.batches import ID, Batch, Batches
from api.crud.resource import as_json

_DIALECT = dialect()  # type: ignore[no-untyped-call]


@dataclass
class Changes:
    """The values of new records, the ids and values of changed ones, and how many are the same."""

    new: list[tuple[Any, ...]] = field(default_factory=list)
    changed: list[tuple[Any, ...]] = field(default_factory=list)
    same: int = 0


async def find_changes(connection: asyncpg.Connection, batches: Batches, batch: Batch) -> Changes:
    """Compare the rows with the live records, which are locked until the transaction ends.

    ImportRefused if there is no record with an id, or if a new record lacks what it needs.
    """
    key, *names = (f'"{column.name}"' for column in batches.resource.columns_of([str(batches.key), *batches.columns]))
    found = await connection.fetch(
        f"SELECT id, {key}, {', '.join(names)} FROM {batches.resource.quoted}"  # noqa: S608 - names of the model
        f" WHERE {key} = ANY ($1) AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE",
        batch.keys,
    )
    existing = {record[1]: (record[0], _comparable(batches, tuple(record)[2:])) for record in found}
    changes, new = Changes(), []
    for index, (line, key, values) in enumerate(zip(batch.lines, batch.keys, batch.values, strict=True)):
        if key in existing:
            record_id, before = existing[key]
            if all(a == b or (a is None and b == "") for a, b in zip(values, before, strict=True)):
                changes.same += 1
            else:
                changes.changed.append((record_id, *values))
        elif key is None or batches.key != ID:
            new.append(index)
        else:
            batches.findings.append((line, f", {ID}: no record {key}; without an id, it would be a new one"))
    if new:
        rows = [batch.rows[index] for index in new]
        changes.new = batches.validate([batch.lines[index] for index in new], rows, batches.resource.create)
    batches.refuse_findings()
    return changes


def _comparable(batches: Batches, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a record, as those of the file are."""
    if not batches.structured:
        return values
    return tuple(
        as_json(value) if name in batches.structured else value
        for name, value in zip(batches.columns, values, strict=True)
    )


async def write_changes(connection: asyncpg.Connection, batches: Batches, changes: Changes) -> None:
    """Change the records, in one statement."""
    if not changes.changed:
        return
    columns = batches.resource.columns_of([ID, *batches.columns])
    arrays = ", ".join(f"${n}::{column.type.compile(_DIALECT)}[]" for n, column in enumerate(columns, 1))
    names = ", ".join(f'"{column.name}"' for column in columns)
    sets = ", ".join(f'"{column.name}" = changed."{column.name}"' for column in columns[1:])
    await connection.execute(
        f"UPDATE {batches.resource.quoted} AS record SET {sets}, updated_at = statement_timestamp()"  # noqa: S608
        f" FROM unnest({arrays}) AS changed ({names}) WHERE record.id = changed.id",
        *(list(values) for values in zip(*changes.changed, strict=True)),
    )
