"""Autogenerate does not guess what it can't know: it writes these comments, which say how to go on.

Each has paragraphs; an indented paragraph is code, and its lines are kept. Code can be pasted as it stands, except for
`...`, which only people know.
"""

from collections.abc import Sequence

from sqlalchemy import ARRAY, Column, Constraint, Table
from sqlalchemy.sql.type_api import TypeEngine

from alembic_online.autogenerate.sql import table_sql, type_sql
from alembic_online.compare.constraints import definition_of
from alembic_online.expressions import quote, sql_of, string_sql
from alembic_online.lint.calls import call, execute
from alembic_online.operations.steps import short_name

NEW = 'python -m alembic revision -m "..."'


def contract(release: str) -> str:
    """What makes a revision a contract revision."""
    return f'phase = "contract" and safe_from_release = "{release}"'


def _steps(*steps: str | Sequence[str]) -> str:
    """Numbered steps, each with one statement or more."""
    lines = []
    for number, step in enumerate(steps, 1):
        first, *others = [step] if isinstance(step, str) else step
        lines += [f"    {number}. {first}", *(f"       {other}" for other in others)]
    return "\n".join(lines)


def drop_column(table: Table, column: Column[object], release: str) -> str:
    """A column that the models no longer have."""
    name, schema = column.name, table.schema
    return f"""\
{table.name}.{name} is no longer in the models. It is not dropped here, because the previous release of the app reads
and writes it. Drop it once no release that uses it is at work, in a revision of its own ({NEW}), with
{contract(release)}, where that is the first release without it:

    upgrade    {call("drop_column", table.name, name, schema=schema)}
    downgrade  op.add_column("{table.name}", sa.Column("{name}", ...))  # its type: {type_sql(column.type)}"""


def rename_column(table: Table, old: str, new: Column[object], release: str) -> str:
    """A column that may have been renamed."""
    name, schema = new.name, table.schema
    steps = [
        call("sync_columns_online", table.name, old, name, schema=schema) + "  # neither may have a default",
        call("backfill", table.name, {name: quote(old)}, schema=schema),
        f"the indexes and constraints that {old} has, on {name}",
        *([] if new.nullable else [call("set_not_null_online", table.name, name, schema=schema)]),
        call("unsync_columns_online", table.name, old, name, schema=schema) + "  # contract",
        call("drop_column", table.name, old, schema=schema) + "  # contract",
    ]
    return f"""\
Is {name} another name for {table.name}.{old}? Then each of these is a revision of its own:

{_steps(*steps)}

The last two have {contract(release)}, where that is the first release that has no {old}."""


def drop_table(table: str, schema: str | None, release: str) -> str:
    """A table that the models no longer have."""
    return f"""\
{table} is no longer in the models. It is not dropped here, because the previous release of the app reads and writes it,
and its rows would be lost for good. If a new table replaces it under another name, do not rename it: write to both
until the previous release has gone. Drop it once no release that uses it is at work, in a revision of its own, with
{contract(release)}, where that is the first release without it:

    upgrade    {call("drop_table", table, schema=schema)}
    downgrade  op.create_table("{table}", ...)  # as in the revision that created it"""


def change_type(column: Column[object], new: str, old: TypeEngine[object], release: str) -> str:
    """A change of type that would rewrite the table, to the column `new`."""
    table, name, schema = column.table, column.name, column.table.schema
    steps = [
        call("sync_columns_online", table.name, name, new, schema=schema) + "  # neither may have a default",
        call("backfill", table.name, {new: f"{quote(name)}::{type_sql(column.type)}"}, schema=schema)
        + "  # and then its indexes and constraints",
        *([] if column.nullable else [call("set_not_null_online", table.name, new, schema=schema)]),
        call("unsync_columns_online", table.name, name, new, schema=schema) + "  # contract",
        call("drop_column", table.name, name, schema=schema) + "  # contract",
    ]
    return f"""\
The type of {table.name}.{name} is not changed from {type_sql(old)} to {type_sql(column.type)}: that would rewrite the
whole table while nobody could read it, and break the statements of the previous release. Its successor is {new}. In the
models, write mapped_column("{new}", ...), and change no other name. Each of these is then a revision of its own. They
need every value of either column to be valid in the other, or writes fail: where it is not, the new release has to
write both columns itself.

{_steps(*steps)}

The last two have {contract(release)}, where that is the first release that has no {name}."""


def fill_not_null(column: Column[object], why: str, release: str) -> str:
    """A column that is to be NOT NULL, where the value for existing rows is not known."""
    table, name, schema = column.table, column.name, column.table.schema
    steps = [
        call("backfill", table.name, {name: "..."}, where=f"{quote(name)} IS NULL", schema=schema),
        call("set_not_null_online", table.name, name, schema=schema),
    ]
    return f"""\
{table.name}.{name} is to be NOT NULL, but is not yet: {why}. Each of these is a revision of its own, with
{contract(release)}, where that is the first release that always writes it:

{_steps(*steps)}"""


def generated_column(column: Column[object]) -> str:
    """A stored generated column."""
    return f"""\
{column.table.name}.{column.name} is not added: a stored generated column would rewrite the whole table while nobody
could read it. From Postgres 18 on, Computed(..., persisted=False) computes it when it is read, and is added in an
instant. Or make it an ordinary column, in the models, too, which the app or a trigger writes, and use op.backfill for
the existing rows."""


def change_generated(column: Column[object], there: Column[object], release: str) -> str:
    """A column that is to be generated, or by another expression, or no longer."""
    name = f"{column.table.name}.{column.name}"
    table = table_sql(column.table.name, column.table.schema)
    change = f"ALTER TABLE {table} ALTER COLUMN {quote(column.name)}"
    if column.computed is None:
        return f"""\
{name} is generated in the database, and no longer in the models. It still is here, because the previous release of the
app does not write it. Change it once that release has gone, in a revision of its own, with {contract(release)}, where
that is the first release that writes it. If it is not stored, drop the column, and add another one.

    {execute(f"{change} DROP EXPRESSION")}"""
    expression = sql_of(column.computed.sqltext)
    if there.computed is not None and not there.computed.persisted and not column.computed.persisted:
        return f"""\
{name} is generated by another expression in the models. It is not changed here, because the previous release of the app
may rely on it. This takes an instant, because the column is computed when it is read, in a revision of its own, with
{contract(release)}, where that is the first release with the new expression:

    # lint: allow blocking-rewrite: the column is not stored
    {execute(f"{change} SET EXPRESSION AS ({expression})")}"""
    return f"""\
{name} is generated otherwise in the models: {expression}. It is not changed here, because that would rewrite the whole
table while nobody could read it. Give the models another column, with Computed(..., persisted=False) or an ordinary one
that the app writes and op.backfill fills, and drop this one later."""


def identity_column(column: Column[object]) -> str:
    """An identity, or serial, column."""
    table, name, schema = column.table, column.name, column.table.schema
    sequence = short_name(f"{table.name}_{name}_seq")
    sequence_sql, table_name = table_sql(sequence, schema), table_sql(table.name, schema)
    change = f"ALTER TABLE {table_name} ALTER {quote(name)}"
    following = f"nextval({string_sql(sequence_sql)})"
    kind = "ALWAYS" if column.identity is not None and column.identity.always else "BY DEFAULT"
    own = f"pg_get_serial_sequence({string_sql(table_name)}, {string_sql(name)})"
    numbered = [
        [execute(f"CREATE SEQUENCE {sequence_sql}"), execute(f"{change} SET DEFAULT {following}")],
        call("backfill", table.name, {name: following}, where=f"{quote(name)} IS NULL", schema=schema),
        call("set_not_null_online", table.name, name, schema=schema),
        [
            execute(f"{change} DROP DEFAULT"),
            execute(f"{change} ADD GENERATED {kind} AS IDENTITY"),
            execute(f"SELECT setval({own}, {following})"),
            execute(f"DROP SEQUENCE {sequence_sql}"),
        ],
    ]
    return f"""\
{table.name}.{name} is added without numbers: an identity column would rewrite the whole table while nobody could read
it. Each of these is a revision of its own; the last one makes it an identity, which takes an instant, and goes on
counting where the sequence is. Without that one, the model has server_default=text({following!r}).

{_steps(*numbered)}"""


def drop_identity(column: Column[object], release: str) -> str:
    """An identity column that is to be an ordinary one."""
    table = table_sql(column.table.name, column.table.schema)
    return f"""\
{column.table.name}.{column.name} is no identity in the models. It still is one here, because the previous release of
the app may rely on its numbers. Change it once no such release is at work, in a revision of its own, with
{contract(release)}, where that is the first release that writes all numbers itself:

    {execute(f"ALTER TABLE {table} ALTER COLUMN {quote(column.name)} DROP IDENTITY")}"""


def enum_values(name: str, lost: Sequence[str], users: Sequence[Column[object]], release: str) -> str:
    """Values of an enum type that the models no longer have; `users` are the columns of that type."""
    steps = []
    for value in map(string_sql, lost):
        for column in users:
            table, of = column.table, quote(column.name)
            is_array = isinstance(column.type, ARRAY)
            new = f"array_replace({of}, {value}, '...')" if is_array else "'...'"
            where = f"{value} = ANY ({of})" if is_array else f"{of} = {value}"
            steps.append(call("backfill", table.name, {column.name: new}, where=where, schema=table.schema))
    return f"""\
The type {name} keeps {", ".join(map(string_sql, lost))}, which the models no longer have: Postgres can't drop a value
of a type, and rows may have it. Give the models the value again, and have the app no longer write it: it harms nobody.
If it has got another name, do not rename it, because the previous release writes the old one: let the models have both.
Rows get another value once no release is at work that writes the old one. Each of these is a revision of its own, with
{contract(release)}, where that is the first release that does not:

{_steps(*steps)}"""


def enum_order(name: str, there: Sequence[str]) -> str:
    """An enum type whose values have another order in the models."""
    return f"""\
The type {name} keeps the order of its values, which Postgres can't change, and by which it compares and sorts them.
Give the models the same order: {", ".join(map(string_sql, there))}."""


def primary_key(table: Table, there: Sequence[str], old: str | None, release: str) -> str:
    """A primary key of other columns than before, or none before; `old` is the name of the one that is there."""
    columns, name_sql = [column.name for column in table.primary_key], table_sql(table.name, table.schema)
    name = short_name(f"pk_{table.name}_{'_'.join(columns)}")
    steps = [
        call("create_index_online", name, table.name, columns, schema=table.schema, unique=True),
        *(call("set_not_null_online", table.name, column, schema=table.schema) for column in columns),
        *([call("drop_constraint_online", old, table.name, schema=table.schema) + "  # contract"] if old else []),
        execute(f"ALTER TABLE {name_sql} ADD CONSTRAINT {quote(name)} PRIMARY KEY USING INDEX {quote(name)}"),
    ]
    return f"""\
The primary key of {table.name} is ({", ".join(there)}) in the database, and ({", ".join(columns)}) in the models. It is
not changed here, because foreign keys and ON CONFLICT of the previous release of the app may need it. Each of these is
a revision of its own. What drops the old key has {contract(release)}, where that is the first release that does
without it:

{_steps(*steps) if columns else "    " + steps[-2]}"""


def foreign_key(table: Table, target: Table, columns: Sequence[str]) -> str:
    """A foreign key to what is not the primary key yet."""
    return f"""\
{table.name} has no foreign key to {target.name} ({", ".join(columns)}) yet, because these are not its primary key yet.
Once they are, autogenerate writes the foreign key."""


def exclusion(table: str, constraint: Constraint) -> str:
    """An exclusion constraint of an existing table."""
    return f"""\
{table} has no exclusion constraint as in the models. It is not added here, because Postgres can't build one while the
table is in use: reads and writes wait until every row is checked. Where that takes an instant, do it in a revision of
its own, with the reason in it. If there is another constraint of that name, drop it first, in the same revision.

    # lint: allow blocking-build: ...
    {execute(f"ALTER TABLE {table} ADD {definition_of(constraint)}")}"""
