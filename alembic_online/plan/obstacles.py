"""What would make a statement fail on the database as it is now, read from its catalogs, and from rows in one case."""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node
from sqlalchemy import Connection, text

from alembic_online.plan.dependents import Needed, find_dependents
from alembic_online.plan.duplicates import share, unique_columns
from alembic_online.plan.rights import missing_right
from alembic_online.sql.names import Node, object_name, object_parts, qualified, table_name
from alembic_online.sql.schema import Schema

# The catalog, and the function that finds an object by its name.
_KINDS = {
    **dict.fromkeys(
        (
            pg.OBJECT_TABLE, pg.OBJECT_VIEW, pg.OBJECT_MATVIEW, pg.OBJECT_SEQUENCE, pg.OBJECT_INDEX,
            pg.OBJECT_FOREIGN_TABLE,
        ),
        ("pg_class", "to_regclass"),
    ),
    **dict.fromkeys((pg.OBJECT_TYPE, pg.OBJECT_DOMAIN), ("pg_type", "to_regtype")),
    **dict.fromkeys((pg.OBJECT_FUNCTION, pg.OBJECT_PROCEDURE, pg.OBJECT_ROUTINE), ("pg_proc", "to_regproc")),
    pg.OBJECT_SCHEMA: ("pg_namespace", "to_regnamespace"),
}  # fmt: skip
# The objects that belong to a table: of this kind, those of the table with the name.
_PARTS = {
    pg.OBJECT_POLICY: text("SELECT oid FROM pg_policy WHERE polrelid = :table AND polname = :name"),
    pg.OBJECT_TRIGGER: text("SELECT oid FROM pg_trigger WHERE tgrelid = :table AND tgname = :name"),
    pg.OBJECT_RULE: text("SELECT oid FROM pg_rewrite WHERE ev_class = :table AND rulename = :name"),
}
_CONSTRAINT = text("SELECT oid, conindid FROM pg_constraint WHERE conrelid = :table AND conname = :name")
# These are made anew when a column's type changes.
_FOLLOWS_TYPE = {"pg_constraint", "pg_class"}


@dataclass(frozen=True)
class Known:
    """The state in which a statement runs."""

    connection: Connection
    schema: Schema
    present_names: Mapping[str, str]
    """The present names of tables that the plan renames, by their new names."""
    new: AbstractSet[str] = frozenset()
    """The tables that the plan creates."""
    changed: AbstractSet[str] = frozenset()
    """The tables of which the plan changes rows before."""
    gone: AbstractSet[int] = frozenset()
    """The oids of what the plan drops before."""

    def oid(self, function: str, name: str) -> int:
        """The oid of what has this name at that point of the plan, or 0; `function` is to_regclass or the like."""
        query = text(f"SELECT coalesce({function}(:name)::oid::bigint, 0)")
        found: int = self.connection.scalar(query, {"name": self.present_names.get(name, name)})
        return 0 if found in self.gone else found


def find_obstacles(statement: Node, known: Known) -> list[str]:
    """Why the statement would fail, each in one clause."""
    found = [found for handler in _HANDLERS.get(type(statement), ()) for found in handler(statement, known)]
    right = missing_right(known.connection, statement)
    return [*found, *([right] if right else [])]


def conditions(statement: Node, known: Known) -> list[str]:
    """What the statement needs of rows that was not looked at: "if no two rows share (isbn)"."""
    unknown = [columns for columns, shared in _unique(statement, known) if shared is None]
    return [f"if no two rows share ({', '.join(columns)})" for columns in unknown]


def dropped(statement: Node, known: Known) -> set[int]:
    """The oids of what the statement drops by name."""
    found = {one.oid for one in _dropped(statement, known)}
    if isinstance(statement, pg.DropStmt) and statement.remove_type in _PARTS:
        for *table, name in map(object_parts, statement.objects):
            values = {"table": known.oid("to_regclass", qualified(*table)), "name": name}
            found |= set(known.connection.scalars(_PARTS[statement.remove_type], values))
    for command, one in _commands(statement):
        if command.subtype == pg.AT_DropConstraint:
            found |= {oid for row in _constraint(one, command.name, known) for oid in row}
    return found - {0}


def _concurrent_index(statement: pg.IndexStmt, known: Known) -> Iterator[str]:
    table = table_name(statement.relation)
    if statement.concurrent and table in known.schema.partitioned:
        yield (
            f"{table} is partitioned, and Postgres builds no index on such a table CONCURRENTLY: "
            "build one on each partition, then one ON ONLY the table, and attach them"
        )


def _concurrent_drop(statement: pg.DropStmt, known: Known) -> Iterator[str]:
    for name in [object_name(node) for node in statement.objects] if statement.concurrent else []:
        if known.schema.indexes.get(name) in known.schema.partitioned:
            yield f"{name} is the index of a partitioned table, which Postgres does not drop CONCURRENTLY"


def _needed_by_others(statement: pg.DropStmt, known: Known) -> Iterator[str]:
    if statement.behavior != pg.DROP_CASCADE:
        needed = _dropped(statement, known)
        own = known.gone | {one.oid for one in needed}
        for one in find_dependents(known.connection, needed, own):
            yield f"{one.name} needs it"


def _columns_needed(statement: pg.AlterTableStmt, known: Known) -> Iterator[str]:
    for command, table in _commands(statement):
        oid = known.oid("to_regclass", table)
        if not oid or command.behavior == pg.DROP_CASCADE:
            continue
        if command.subtype in {pg.AT_DropColumn, pg.AT_AlterColumnType}:
            is_kept = command.subtype == pg.AT_AlterColumnType
            for one in find_dependents(known.connection, [Needed("pg_class", oid, command.name)], known.gone):
                if not (is_kept and one.catalog in _FOLLOWS_TYPE):
                    yield f"{one.name} needs {table}.{command.name}"
        elif command.subtype == pg.AT_DropConstraint:
            for constraint, index in _constraint(table, command.name, known):
                needed = [Needed("pg_constraint", constraint), Needed("pg_class", index)]
                for one in find_dependents(known.connection, needed, {*known.gone, constraint}):
                    yield f"{one.name} needs {command.name}"


def _no_duplicates(statement: Node, known: Known) -> Iterator[str]:
    for columns, shared in _unique(statement, known):
        if shared:
            yield f"rows share the same ({', '.join(columns)}), which are to be unique"


def _unique(statement: Node, known: Known) -> Iterator[tuple[list[str], bool | None]]:
    """What is to be unique, and whether rows share it now: None if that is not known."""
    nodes = [statement] if isinstance(statement, pg.IndexStmt) else []
    nodes += [unwrap_node(getattr(command, "def")) for command, _ in _commands(statement) if command.HasField("def")]
    table = table_name(statement.relation) if nodes else ""
    keys = known.schema.keys_of(table)
    for node in nodes:
        columns = unique_columns(node)
        if columns is None or table in known.new or any(key <= set(columns) for key in keys):
            continue
        if known.oid("to_regclass", table):
            present = known.present_names.get(table, table)
            yield columns, None if table in known.changed else share(known.connection, present, columns)


def _commands(statement: Node) -> list[tuple[pg.AlterTableCmd, str]]:
    """The commands of an ALTER TABLE, each with the table's name."""
    if not isinstance(statement, pg.AlterTableStmt):
        return []
    return [(unwrap_node(node), table_name(statement.relation)) for node in statement.cmds]


def _dropped(statement: Node, known: Known) -> list[Needed]:
    if not isinstance(statement, pg.DropStmt) or statement.remove_type not in _KINDS:
        return []
    catalog, function = _KINDS[statement.remove_type]
    names = [object_name(node) for node in statement.objects]
    return [Needed(catalog, oid) for oid in (known.oid(function, name) for name in names) if oid]


def _constraint(table: str, name: str, known: Known) -> list[tuple[int, int]]:
    oid = known.oid("to_regclass", table)
    return [(row[0], row[1]) for row in known.connection.execute(_CONSTRAINT, {"table": oid, "name": name})]


_HANDLERS: dict[type[Node], tuple[Callable[..., Iterator[str]], ...]] = {
    pg.IndexStmt: (_concurrent_index, _no_duplicates),
    pg.DropStmt: (_concurrent_drop, _needed_by_others),
    pg.AlterTableStmt: (_columns_needed, _no_duplicates),
}
