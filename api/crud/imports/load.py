"""Loads many records at once from CSV: all of a file, or nothing."""

import asyncio
import gc
import re
from dataclasses import dataclass
from typing import IO

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.crud.imports.batches import MAX_FINDINGS, Batch, Batches
from api.crud.imports.parents import ImportRefused, keep_parents, read_parents
from api.crud.imports.updates import Changes, find_changes, write_changes
from api.crud.resource import Resource, fields_of
from api.database.collisions import find_collision
from api.database.limits import misfit


@dataclass
class Loaded:
    """How many records were new, how many have changed, and how many were as in the file."""

    new: int = 0
    changed: int = 0
    same: int = 0


async def load_csv(session: AsyncSession, resource: Resource, file: IO[bytes], *, update: bool = False) -> Loaded:
    """Insert a record for each row of a CSV file; ImportRefused if any row is invalid.

    With `update`, records are changed whose id, or another unique field, is in the file. The first line names the
    fields; an empty cell is null. The caller commits, or rolls back on any error.

    While Postgres stores one batch, the next one is read, in a thread.
    """
    # Through a pipe, the next rows may take a while to arrive.
    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    parents = await read_parents(session, resource)
    batches = await asyncio.to_thread(Batches, file, resource, parents, update=update)
    connection, loaded, following = await _driver(session), Loaded(), iter(batches)
    current = batch = await asyncio.to_thread(next, following, None)
    gc.disable()  # rows are not in cycles, and to look for some in all that there are takes half of the time
    try:
        async with connection.transaction():  # a savepoint: after a failure, Postgres can still be asked about it
            while (current := batch) is not None:
                reading = asyncio.create_task(asyncio.to_thread(next, following, None))
                try:
                    await _store(connection, batches, current, loaded)
                finally:
                    batch = await reading
    except asyncpg.UniqueViolationError as error:
        assert current is not None
        raise ImportRefused([await _collision(connection, resource, current, error)]) from error
    except asyncpg.DataError as error:
        assert current is not None
        raise ImportRefused(_misfits(batches, current)) from error
    finally:
        gc.enable()
    await keep_parents(session, resource, parents)
    return loaded


async def _driver(session: AsyncSession) -> asyncpg.Connection:
    connection = await session.connection()
    return (await connection.get_raw_connection()).driver_connection


async def _store(connection: asyncpg.Connection, batches: Batches, batch: Batch, loaded: Loaded) -> None:
    changes = Changes(new=batch.values)
    if batches.key is not None:
        changes = await find_changes(connection, batches, batch)
        await write_changes(connection, batches, changes)
    columns = [column.name for column in batches.resource.columns_of([*batches.columns, *batches.defaults])]
    defaults = tuple(batches.defaults.values())
    rows = [values + defaults for values in changes.new] if defaults else changes.new
    table = batches.resource.table
    await connection.copy_records_to_table(table.name, records=rows, columns=columns, schema_name=table.schema)
    loaded.new += len(changes.new)
    loaded.changed += len(changes.changed)
    loaded.same += changes.same


async def _collision(
    connection: asyncpg.Connection, resource: Resource, batch: Batch, error: asyncpg.UniqueViolationError
) -> str:
    """What `error` is about: a COPY says which of its lines it is."""
    collision = await find_collision(connection, error, fields_of([resource]))
    place = re.search(r", \w+ (\d+)", error.context or "")
    line = f"line {batch.lines[int(place[1]) - 1]}, " if place and not batch.keys else ""
    return f"{line}{collision}"


def _misfits(batches: Batches, batch: Batch) -> list[str]:
    columns = batches.resource.columns_of(batches.columns)
    found = [
        f"line {line}, {name}: {why}"
        for line, values in zip(batch.lines, batch.values, strict=True)
        for name, column, value in zip(batches.columns, columns, values, strict=True)
        if (why := misfit(column.type, value))
    ]
    return found[:MAX_FINDINGS] or ["the database refuses a value"]
