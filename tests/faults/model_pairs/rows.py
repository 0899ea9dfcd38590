"""A row for each table, which the revisions that follow have to keep, to fill, and to find no fault with."""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from alembic_online.expressions import DIALECT, string_sql
from tests.faults.model_pairs.models import Column, Models, Reference, Table, defaults
from tests.faults.model_pairs.types import KEPT

SAMPLES = {
    "boolean": "true", "smallint": "1", "integer": "1", "bigint": "1", "numeric": "1", "double": "1", "real": "1",
    "date": "'2020-02-29'", "time": "'12:34'", "timestamp": "'2020-02-29'", "timestamptz": "'2020-02-29Z'",
    "interval": "'1 day'", "uuid": "'00000000-0000-0000-0000-000000000001'", "json": "'{}'", "jsonb": "'{}'",
    "text[]": "'{a}'", "integer[]": "'{1}'", "inet": "'::1'", "int4range": "'[1,2)'", "tstzrange": "'empty'",
    "bit": "B'101'",
}  # fmt: skip


def fill(connection: Connection, models: Models, before: Models | None) -> None:
    """Insert a row into each table that the models before did not have, and commit.

    Not where a row of another table would have to be first, or a column still has a type that the models lack. A later
    row might be one that the release before does not allow, so that nothing could be taken back.

    Columns that have a default, or may be NULL in a table with an even number of columns, get no value.
    """
    known = {(table.schema, table.name) for table in before.tables} if before else set()
    for table in models.tables:
        name = _name(models, table.schema, table.name)
        if (table.schema, table.name) in known or connection.exec_driver_sql(
            f"SELECT EXISTS (SELECT FROM {name})"
        ).scalar_one():
            continue
        values = dict(_values(table, models))
        columns = ", ".join(map(DIALECT.identifier_preparer.quote_identifier, values))
        what = f"({columns}) VALUES ({', '.join(values.values())})" if values else "DEFAULT VALUES"
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(f"INSERT INTO {name} {what}")
        except DBAPIError:
            assert "type" in models.refused or any(not reference.nullable for reference in table.references)
    connection.commit()


def _values(table: Table, models: Models) -> Iterator[tuple[str, str]]:
    if table.key == "two":
        yield from {"id": "1", "no": "'1'"}.items()
    for column in table.columns:
        has_default = column.generated or (column.default is not None and defaults(column.kind))
        if not has_default and not (column.nullable and len(table.columns) % 2):
            yield column.name, _sample(column)
    for reference in table.references:
        yield from _key(reference, models)


def _key(reference: Reference, models: Models) -> Iterator[tuple[str, str]]:
    schema, name = reference.table
    for column in reference.columns:
        yield f"{name[:20]}_{column}", f"(SELECT {column} FROM {_name(models, schema, name)})"


def _sample(column: Column) -> str:
    if column.kind.startswith("enum"):
        which, _, form = column.kind.removeprefix("enum").partition(" ")
        return "'{}'" if form == "array" else string_sql(KEPT[int(which)])
    return SAMPLES.get(column.kind, "'plain'")


def _name(models: Models, schema: str | None, name: str) -> str:
    return str(DIALECT.identifier_preparer.format_table(sa.table(name, schema=schema or models.schema)))
