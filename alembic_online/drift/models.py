"""The models, compared with what the database holds: what no revision makes, and what was changed by hand.

Each difference is of one item. Expressions whose text differs are compared by Postgres, all at once.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, MetaData

from alembic_online.drift.comparison import Comparison
from alembic_online.drift.expressions import NotComparable, Pair, type_names
from alembic_online.drift.inventory import Inventory, Item
from alembic_online.drift.parts import KINDS, compare_parts
from alembic_online.drift.reader import Reader
from alembic_online.drift.wanted import WantedColumn, WantedTable, identity_definition

VIEWS = {"view", "materialized view"}
HELD = {"table", "column", "default", "generated", "identity", "comment", "enum", "sequence", *VIEWS, *KINDS}
"""The kinds of items that are compared with the models."""

Types = Mapping[str, str | NotComparable]


def compare_models(connection: Connection, models: MetaData, there: Inventory) -> Comparison:
    """All differences, and what could not be compared, with the reason."""
    reader = Reader(connection.dialect, there.schema)
    tables = [reader.table(table) for table in models.tables.values()]
    found = Comparison(connection, there)
    found.not_compared += [
        f"{what} of {there.short(table.name)}: {reason}" for table in tables for what, reason in table.unknown.items()
    ]
    types = type_names(connection, sorted({c.type for table in tables for c in table.columns if c.type}))
    items: dict[str, dict[Item, str]] = {}
    for item, definition in there.items.items():
        items.setdefault(item.object, {})[item] = definition
    for table in tables:
        _compare_table(found, table, items.get(table.name, {}), types)
    wanted = {table.name for table in tables}
    for kind, name, _ in there.items:
        if kind == "table" and name not in wanted:
            found.differ(kind, name, "", None)
    _compare_types(found, tables)
    _compare_sequences(found, {name for table in tables for name in table.sequences})
    found.decide()
    return found


def _compare_table(found: Comparison, table: WantedTable, there: Mapping[Item, str], types: Types) -> None:
    kinds = {item.kind for item in there}
    if "table" not in kinds:
        if not kinds & VIEWS:  # a model of a view
            found.differ("table", table.name, "", "table")
        return
    if table.is_partitioned != (" partitioned by " in there[Item("table", table.name, "")]):
        found.differ("table", table.name, "", "partitioned" if table.is_partitioned else "not partitioned")
    _compare_comment(found, table.name, "", table.comment)
    existing = {item.part: definition for item, definition in there.items() if item.kind == "column"}
    for name in existing.keys() - table.column_names:
        found.differ("column", table.name, name, None)
    for column in table.columns:
        type_ = _type(found, table, column, types)
        if column.name in existing:
            _compare_column(found, table, column, type_, existing[column.name])
        else:
            found.differ("column", table.name, column.name, type_ or column.type or "of an unknown type")
    for kind in KINDS:
        try:
            compare_parts(found, table, kind, {item.part: there[item] for item in there if item.kind == kind})
        except (AssertionError, IndexError, ValueError) as error:  # SQL that is not read as it is meant
            found.not_compared.append(f"{kind} of {found.there.short(table.name)}: {error}")


def _type(found: Comparison, table: WantedTable, column: WantedColumn, types: Types) -> str | None:
    """The column's type in the words of Postgres; None if it is not known."""
    type_ = types[column.type] if column.type else None
    if isinstance(type_, NotComparable):
        if not any(Item("enum", enum, "") not in found.there.items for enum in table.enums):
            found.not_compared.append(f"the type of column {found.there.short(table.name)}.{column.name}: {type_}")
        return None
    return type_


def _compare_column(
    found: Comparison, table: WantedTable, column: WantedColumn, type_: str | None, existing: str
) -> None:
    there = found.there.items
    there_type = existing.removesuffix(" NOT NULL").partition(" COLLATE ")[0]
    collation = f' COLLATE "{column.collation}"' if column.collation else ""
    wanted = f"{type_ or there_type}{collation}{'' if column.is_nullable else ' NOT NULL'}"
    if wanted != existing:
        found.differ("column", table.name, column.name, wanted)
    _compare_comment(found, table.name, column.name, column.comment)
    identity = None if column.identity is None else identity_definition(column.identity, there_type)
    if identity != there.get(Item("identity", table.name, column.name)):
        found.differ("identity", table.name, column.name, identity)
    if column.has_own_default:
        return
    default = there.get(Item("default", table.name, column.name))
    if default != column.default:
        both = [(column.default, default)] if column.default is not None and default is not None else []
        pairs = [Pair(*(f"CAST({each}\n AS {there_type})" for each in pair)) for pair in both]
        found.differ("default", table.name, column.name, column.default, pairs)
    generated = there.get(Item("generated", table.name, column.name))
    if generated != column.generated:
        expression, _, stored = (generated or "").rpartition(" ")
        is_stored = column.persisted in {None, stored == "STORED"}
        pairs = (
            [Pair(column.generated, expression, table.source)] if column.generated and expression and is_stored else []
        )
        found.differ("generated", table.name, column.name, column.generated, pairs)


def _compare_comment(found: Comparison, table: str, part: str, wanted: str | None) -> None:
    if (wanted or None) != found.there.items.get(Item("comment", table, part)):
        found.differ("comment", table, part, wanted or None)


def _compare_types(found: Comparison, tables: list[WantedTable]) -> None:
    for name, labels in sorted({name: labels for table in tables for name, labels in table.enums.items()}.items()):
        wanted = ", ".join("'{}'".format(label.replace("'", "''")) for label in labels)
        if found.there.items.get(Item("enum", name, "")) != wanted:
            found.differ("enum", name, "", wanted)


def _compare_sequences(found: Comparison, wanted: set[str]) -> None:
    for name in sorted(wanted):
        if Item("sequence", name, "") not in found.there.items:
            found.differ("sequence", name, "", "sequence")
