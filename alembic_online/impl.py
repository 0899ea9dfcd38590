"""What Alembic does on Postgres, where it takes SQL for something else than it is.

Alembic passes the text of defaults, checks and conditions through `sa.text()`, which takes `:x` for a parameter, even
inside quotes; it compares two defaults by letting Postgres compute them, takes an array for what it is an array of, and
two names of one type for two types, and compares only the columns of indexes and unique constraints; with `--sql` it
makes four spaces of each tab.
"""

from typing import Any

from alembic.ddl._autogen import ComparisonResult
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import ARRAY, DDLElement, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import DOMAIN, INTERVAL
from sqlalchemy.types import NullType

from alembic_online.drift.expressions import type_names
from alembic_online.drift.parts import are_same, differing
from alembic_online.drift.reader import Reader
from alembic_online.expressions import as_text, default_sql
from alembic_online.shadow import stored_default
from alembic_online.types import SqlType

_DEFAULT = (
    "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum"
    " WHERE adrelid = to_regclass(format('%I.%I', $1::text, $2::text)) AND attname = $3"
)
_COLUMN = "FROM pg_attribute WHERE attrelid = to_regclass(format('%I.%I', $1::text, $2::text)) AND attname = $3"
_TYPE = f"SELECT format_type(atttypid, atttypmod) {_COLUMN}"
_NULLABLE = f"SELECT NOT attnotnull {_COLUMN}"
_INDEX = (
    "SELECT CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END || regexp_replace(pg_get_indexdef(indexrelid),"
    " '^CREATE .*? USING ', '') FROM pg_index WHERE indexrelid = to_regclass(format('%I.%I', $1::text, $2::text))"
)
_CHECKED = (
    "SELECT condeferrable, condeferred FROM pg_constraint WHERE contype = 'u'"
    " AND conrelid = to_regclass(format('%I.%I', $1::text, $2::text)) AND conname = $3"
)


class OnlineImpl(PostgresqlImpl):
    """Alembic's own, apart from the above. Alembic uses the class of a dialect that was defined last."""

    __dialect__ = "postgresql"

    def _exec(self, construct: Any, *arguments: Any, **options: Any) -> Any:
        if not self.as_sql:
            return super()._exec(construct, *arguments, **options)
        element = text(construct) if isinstance(construct, str) else construct
        is_literal = self.literal_binds and not isinstance(element, DDLElement)
        compiled = element.compile(dialect=self.dialect, compile_kwargs={"literal_binds": True} if is_literal else {})
        self.static_output(str(compiled).strip() + self.command_terminator)
        return None

    def render_ddl_sql_expr(
        self, expr: Any, is_server_default: bool = False, is_index: bool = False, **options: Any
    ) -> str:
        rendered = super().render_ddl_sql_expr(expr, is_server_default=is_server_default, is_index=is_index, **options)
        # Of an index, it becomes a literal_column, which has no parameters.
        return rendered if is_index else as_text(rendered)

    def autogen_column_reflect(self, inspector: Any, table: Any, column_info: Any) -> None:
        assert self.connection is not None
        place = (table.schema or inspector.default_schema_name, table.name, column_info["name"])
        if isinstance(column_info["type"], NullType):  # SQLAlchemy does not know it
            column_info["type"] = SqlType(self.connection.exec_driver_sql(_TYPE, place).scalar_one())
        if isinstance(column_info["type"], DOMAIN):  # SQLAlchemy takes what the domain has for the column's own
            column_info["nullable"] = self.connection.exec_driver_sql(_NULLABLE, place).scalar_one()
            column_info["default"] = self.connection.exec_driver_sql(_DEFAULT, place).scalar()
        default = column_info.get("default")
        if default and table.schema is not None and "nextval(" in default:
            # SQLAlchemy takes a sequence of the search path for one of the table's schema.
            column_info["default"] = self.connection.exec_driver_sql(_DEFAULT, place).scalar()
        super().autogen_column_reflect(inspector, table, column_info)  # type: ignore[no-untyped-call]
        if default := column_info.get("default"):
            column_info["default"] = as_text(default)

    def compare_type(self, inspector_column: Any, metadata_column: Any) -> bool:
        """Whether they differ; Alembic takes an array for what it is an array of, and sees no collation."""
        there, wanted = inspector_column.type, metadata_column.type
        stored = wanted.dialect_impl(self.dialect)
        if not isinstance(there, DOMAIN) and getattr(there, "collation", None) != getattr(stored, "collation", None):
            return True
        if isinstance(there, ARRAY) != isinstance(wanted, ARRAY) or super().compare_type(
            inspector_column, metadata_column
        ):
            assert self.connection is not None
            written = [type_.compile(dialect=self.dialect) for type_ in (there, wanted)]
            names = type_names(self.connection, written)
            return names[written[0]] != names[written[1]]  # float(24) is real
        # Alembic takes an interval(3) for any interval.
        return isinstance(there, INTERVAL) and there.precision != getattr(stored, "precision", None)

    def compare_server_default(
        self,
        inspector_column: Any,
        metadata_column: Any,
        *_: Any,
    ) -> bool:
        """Whether they differ: what Postgres would store for one is compared with what it has."""
        if metadata_column.primary_key and metadata_column is metadata_column.table.autoincrement_column:
            return False  # a serial, whose default is its own
        wanted = default_sql(metadata_column.server_default)
        there = default_sql(inspector_column.server_default)
        if wanted == there or wanted is None or there is None:
            return wanted != there
        assert self.connection is not None
        return stored_default(self.connection, inspector_column, wanted) != there

    def compare_unique_constraint(
        self, metadata_constraint: UniqueConstraint, reflected_constraint: UniqueConstraint
    ) -> ComparisonResult:
        """Whether they differ; Alembic leaves out when they are checked."""
        assert self.connection is not None
        table = metadata_constraint.table
        schema = table.schema or str(self.dialect.default_schema_name)
        there = self.connection.exec_driver_sql(_CHECKED, (schema, table.name, str(reflected_constraint.name))).first()
        deferred = (metadata_constraint.initially or "").upper() == "DEFERRED"
        wanted = (bool(metadata_constraint.deferrable) or deferred, deferred)
        if there is not None and tuple(there) != wanted:
            return ComparisonResult.Different(f"deferrable, deferred: {tuple(there)} to {wanted}")
        return super().compare_unique_constraint(metadata_constraint, reflected_constraint)

    def compare_indexes(self, metadata_index: Index, reflected_index: Index) -> ComparisonResult:
        """Whether they differ in anything that Postgres shows; Alembic leaves out most but the columns."""
        assert self.connection is not None
        table: Any = metadata_index.table
        source = self.dialect.identifier_preparer.format_table(table)
        schema = str(self.dialect.default_schema_name)
        wanted = Reader(self.dialect, schema).index(metadata_index, source)
        there = self.connection.exec_driver_sql(
            _INDEX, (table.schema or schema, str(reflected_index.name))
        ).scalar_one()
        pairs = differing(self.connection, wanted, there, source)
        if pairs is not None and are_same(self.connection, pairs):
            return ComparisonResult.Equal()
        return ComparisonResult.Different(f"{there} to {wanted.definition}")
