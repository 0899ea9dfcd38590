"""A `Schema` that can be changed, part by part."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import postgast
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node, walk

from alembic_online.sql.names import Node, qualified, strings, table_name
from alembic_online.sql.schema import ForeignKey, Schema

CHANGES_ROWS = set("cnd")  # CASCADE, SET NULL, SET DEFAULT

TableAnd = tuple[str, str]
"""A table, and one of its columns or constraints."""


@dataclass
class MutableSchema:
    """The parts of a schema that statements change."""

    columns: dict[str, dict[str, str]]
    indexes: dict[str, str]
    foreign_keys: list[ForeignKey]
    checked: set[TableAnd]
    not_null: set[TableAnd]
    proofs: dict[TableAnd, str]
    unproven: dict[TableAnd, str]
    domains: dict[str, bool]
    keys: dict[str, AbstractSet[frozenset[str]]]

    @classmethod
    def of(cls, schema: Schema) -> "MutableSchema":
        """A copy of these parts."""
        return cls(
            {table: dict(columns) for table, columns in schema.columns.items()},
            dict(schema.indexes),
            list(schema.foreign_keys),
            set(schema.checked),
            set(schema.not_null),
            dict(schema.proofs),
            dict(schema.unproven),
            dict(schema.domains),
            dict(schema.keys),
        )

    def inherit(self, table: str, parent: str) -> None:
        """Give a partition, or a table that inherits, the columns of its parent, and what is known of them."""
        self.columns[table] |= self.columns.get(parent, {})
        proven = {(of, column) for (of, _), column in self.proofs.items()}
        self.not_null |= {(table, column) for of, column in self.not_null | proven if of == parent}
        self.checked |= {(table, column) for of, column in self.checked if of == parent}

    def add_column(self, table: str, column: pg.ColumnDef) -> None:
        """Add the column, with its column constraints; or only these, if it is the table's already, and has no type."""
        columns = self.columns.setdefault(table, {})
        if column.HasField("type_name"):
            columns[column.colname] = type_in_sql(column)
        for constraint in map(unwrap_node, column.constraints):
            self.add_constraint(table, constraint, column.colname)

    def add_constraint(self, table: str, constraint: pg.Constraint, column: str = "") -> None:
        """Add the constraint; `column` is the one that it belongs to, if it is a column constraint."""
        columns = tuple(strings(constraint.fk_attrs) or strings(constraint.keys)) or (column,)
        if constraint.contype == pg.CONSTR_FOREIGN:
            referred, others = table_name(constraint.pktable), tuple(strings(constraint.pk_attrs))
            changes = constraint.fk_del_action in CHANGES_ROWS
            key = ForeignKey(constraint.conname, table, columns, referred, others, changes, constraint.is_enforced)
            self.foreign_keys.append(key)
        elif constraint.contype == pg.CONSTR_PRIMARY:
            self.not_null |= {(table, name) for name in columns}
        elif constraint.contype == pg.CONSTR_NOTNULL and not constraint.conname:
            self.not_null.add((table, columns[0]))
        elif constraint.contype == pg.CONSTR_NOTNULL:
            self._add_proof(table, constraint, columns[0])
        elif constraint.contype == pg.CONSTR_CHECK and constraint.is_enforced:
            if not constraint.skip_validation:
                self.checked |= {(table, name) for name in _columns_in(constraint.raw_expr)}
            if proven := _never_null(constraint.raw_expr):
                self._add_proof(table, constraint, proven)

    def _add_proof(self, table: str, constraint: pg.Constraint, column: str) -> None:
        proofs = self.unproven if constraint.skip_validation else self.proofs
        proofs[table, constraint.conname] = column

    def validate(self, table: str, constraint: str) -> None:
        """Note that the constraint holds for all rows."""
        if column := self.unproven.pop((table, constraint), None):
            self.proofs[table, constraint] = column

    def drop_constraint(self, table: str, constraint: str) -> None:
        """Drop the constraint."""
        self.unproven.pop((table, constraint), None)
        self.proofs.pop((table, constraint), None)
        self.foreign_keys = [key for key in self.foreign_keys if (key.table, key.name) != (table, constraint)]
        self.keys.pop(table, None)  # which of them it was is not known here

    def drop_index(self, index: str) -> None:
        """Drop the index."""
        if table := self.indexes.pop(index, None):
            self.keys.pop(table, None)

    def drop_not_null(self, table: str, column: str) -> None:
        """Allow NULL. A CHECK may still forbid it, but which of the proofs are CHECKs is not known here."""
        self.not_null.discard((table, column))
        self.proofs = {key: proven for key, proven in self.proofs.items() if (key[0], proven) != (table, column)}

    def drop_column(self, table: str, column: str) -> None:
        """Drop the column; nothing of it holds for a new column of this name."""
        self.columns.get(table, {}).pop(column, None)
        self.drop_not_null(table, column)
        self.checked.discard((table, column))
        self.keys.pop(table, None)
        self.foreign_keys = [
            key
            for key in self.foreign_keys
            if (key.table != table or column not in key.columns)
            and (key.referred != table or column not in key.referred_columns)
        ]

    def drop_table(self, table: str) -> None:
        """Drop the table."""
        for column in list(self.columns.pop(table, {})):
            self.drop_column(table, column)
        self.indexes = {index: other for index, other in self.indexes.items() if other != table}
        self.foreign_keys = [key for key in self.foreign_keys if key.referred != table]

    def rename_column(self, table: str, old: str, new: str) -> None:
        """Rename the column."""
        columns = self.columns.get(table, {})
        if old not in columns:
            return
        columns[new] = columns.pop(old)
        self.keys.pop(table, None)
        for places in (self.checked, self.not_null):
            if (table, old) in places:
                places.remove((table, old))
                places.add((table, new))
        for proofs in (self.proofs, self.unproven):
            proofs |= {key: new for key, column in proofs.items() if (key[0], column) == (table, old)}
        self.foreign_keys = [
            replace(
                key,
                columns=_renamed(key.columns, old, new) if key.table == table else key.columns,
                referred_columns=_renamed(key.referred_columns, old, new)
                if key.referred == table
                else key.referred_columns,
            )
            for key in self.foreign_keys
        ]

    def rename_table(self, old: str, new: str) -> None:
        """Give the table another name, or another schema."""
        if old not in self.columns:
            return
        self.columns[new] = self.columns.pop(old)
        if keys := self.keys.pop(old, None):
            self.keys[new] = keys
        self.indexes = {index: new if table == old else table for index, table in self.indexes.items()}
        self.checked = {(new if table == old else table, column) for table, column in self.checked}
        self.not_null = {(new if table == old else table, column) for table, column in self.not_null}
        self.proofs = {(new if table == old else table, name): column for (table, name), column in self.proofs.items()}
        self.unproven = {
            (new if table == old else table, name): column for (table, name), column in self.unproven.items()
        }
        self.foreign_keys = [
            replace(
                key,
                table=new if key.table == old else key.table,
                referred=new if key.referred == old else key.referred,
            )
            for key in self.foreign_keys
        ]


def type_in_sql(column: pg.ColumnDef) -> str:
    """The column's type, as SQL, with its collation."""
    statement = postgast.parse("SELECT NULL::int")
    statement.stmts[0].stmt.select_stmt.target_list[0].res_target.val.type_cast.type_name.CopyFrom(column.type_name)
    type_ = str(postgast.deparse(statement)).split("::", 1)[1]
    if column.HasField("coll_clause"):
        type_ += f" COLLATE {qualified(*strings(column.coll_clause.collname))}"
    return type_


def _columns_in(condition: Node) -> set[str]:
    return {strings(found.fields)[-1] for _, found in walk(condition) if isinstance(found, pg.ColumnRef)}


def _never_null(condition: Node) -> str | None:
    """The column, if the condition is `column IS NOT NULL`."""
    test = unwrap_node(condition)
    if not isinstance(test, pg.NullTest) or test.nulltesttype != pg.IS_NOT_NULL:
        return None
    column = unwrap_node(test.arg)
    return strings(column.fields)[-1] if isinstance(column, pg.ColumnRef) else None


def _renamed(columns: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    return tuple(new if column == old else column for column in columns)
