"""Autogenerate does not guess what it can't know: it writes these comments, which say how to go on.

Each has paragraphs; an indented paragraph is code, and its lines are kept.
"""

from typing import Any

from sqlalchemy import Column
from sqlalchemy.sql.type_api import TypeEngine

from alembic_online.autogenerate.sql import type_sql
from alembic_online.expressions import quote


def contract(release: str) -> str:
    """What makes a revision a contract revision."""
    return f'phase = "contract" and safe_from_release = "{release}"'


def drop_column(table: str, column: Column[Any], release: str) -> str:
    """A column that the models no longer have."""
    return f"""\
{table}.{column.name} is no longer in the models. It is not dropped here, because the previous release of the app reads
and writes it. Drop it once no release that uses it is at work, in a revision of its own (python -m alembic revision -m
"..."), with {contract(release)}, where that is the first release without it:

    upgrade    op.drop_column("{table}", "{column.name}")
    downgrade  op.add_column("{table}", sa.Column("{column.name}", ...))  # its type: {type_sql(column.type)}"""


def rename_column(table: str, old: str, new: Column[Any], release: str) -> str:
    """A column that may have been renamed."""
    then = "" if new.nullable else f'\n    4. op.set_not_null_online("{table}", "{new.name}")'
    last = 4 if new.nullable else 5
    return f"""\
Is {new.name} another name for {table}.{old}? Then each of these is a revision of its own:

    1. op.sync_columns_online("{table}", "{old}", "{new.name}")  # neither may have a default
    2. op.backfill("{table}", {{"{new.name}": "{quote(old)}"}})
    3. the indexes and constraints that {old} has, on {new.name}{then}
    {last}. op.unsync_columns_online("{table}", "{old}", "{new.name}")  # contract
    {last + 1}. op.drop_column("{table}", "{old}")  # contract

The last two have {contract(release)}, where that is the first release that has no {old}."""


def drop_table(table: str, release: str) -> str:
    """A table that the models no longer have."""
    return f"""\
{table} is no longer in the models. It is not dropped here, because the previous release of the app reads and writes it,
and its rows would be lost for good. If a new table replaces it under another name, do not rename it: write to both
until the previous release has gone. Drop it once no release that uses it is at work, in a revision of its own, with
{contract(release)}, where that is the first release without it:

    upgrade    op.drop_table("{table}")
    downgrade  op.create_table("{table}", ...)  # as in the revision that created it"""


def change_type(table: str, column: Column[Any], old: TypeEngine[Any], release: str) -> str:
    """A change of type that would rewrite the table."""
    name, new = column.name, f"{column.name}_new"
    then = "" if column.nullable else f'\n    3. op.set_not_null_online("{table}", "{new}")'
    last = 3 if column.nullable else 4
    return f"""\
The type of {table}.{name} is not changed from {type_sql(old)} to {type_sql(column.type)}: that would rewrite the whole
table while nobody could read it, and break the statements of the previous release. Its successor is {new}. In the
models, write mapped_column("{new}", ...), and change no other name. Each of these is then a revision of its own. They
need every value of either column to be valid in the other, or writes fail: where it is not, the new release has to
write both columns itself.

    1. op.sync_columns_online("{table}", "{name}", "{new}")  # neither may have a default
    2. op.backfill("{table}", {{"{new}": "{quote(name)}::{type_sql(column.type)}"}})  # and then its indexes{then}
    {last}. op.unsync_columns_online("{table}", "{name}", "{new}")  # contract
    {last + 1}. op.drop_column("{table}", "{name}")  # contract

The last two have {contract(release)}, where that is the first release that has no {name}."""


def fill_not_null(table: str, column: str, why: str, release: str) -> str:
    """A column that is to be NOT NULL, where the value for existing rows is not known."""
    return f"""\
{table}.{column} is to be NOT NULL, but is not yet: {why}. Each of these is a revision of its own, with
{contract(release)}, where that is the first release that always writes it:

    1. op.backfill("{table}", {{"{column}": "..."}}, where="{quote(column)} IS NULL")
    2. op.set_not_null_online("{table}", "{column}")"""


def generated_column(table: str, column: Column[Any]) -> str:
    """A stored generated column."""
    return f"""\
{table}.{column.name} is not added: a stored generated column would rewrite the whole table while nobody could read it.
From Postgres 18 on, Computed(..., persisted=False) computes it when it is read, and is added in an instant. Or make it
an ordinary column, in the models, too, which the app or a trigger writes, and use op.backfill for the existing rows."""


def identity_column(table: str, column: Column[Any]) -> str:
    """An identity, or serial, column."""
    sequence = quote(f"{table}_{column.name}_seq")
    change = f"ALTER TABLE {quote(table)} ALTER {quote(column.name)}"
    kind = "ALWAYS" if column.identity is not None and column.identity.always else "BY DEFAULT"
    return f"""\
{table}.{column.name} is added without numbers: an identity column would rewrite the whole table while nobody could read
it. Each of these is a revision of its own:

    1. op.execute("CREATE SEQUENCE {sequence}"), and
       then op.execute("{change} SET DEFAULT nextval('{sequence}')")
    2. op.backfill("{table}", {{"{column.name}": "nextval('{sequence}')"}}, where="{quote(column.name)} IS NULL")
    3. op.set_not_null_online("{table}", "{column.name}")

Then either give the model server_default=text("nextval('{sequence}')"), or make the column an identity in one more
revision, which takes an instant, and goes on counting where the sequence is:

    4. op.execute("{change} DROP DEFAULT"),
       then op.execute("{change} ADD GENERATED {kind} AS IDENTITY"),
       then op.execute("SELECT setval(pg_get_serial_sequence('{table}', '{column.name}'), nextval('{sequence}'))"),
       then op.execute("DROP SEQUENCE {sequence}")"""
