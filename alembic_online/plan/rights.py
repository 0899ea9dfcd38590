"""Rights that a statement needs, and the role does not have."""

from postgast import pg_query_pb2 as pg
from sqlalchemy import Connection, text

from alembic_online.sql.names import Node, quote, table_name

_MAY = {
    "schema": text("SELECT has_database_privilege(current_database(), 'CREATE')"),
    "role": text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"),
    "table": text(
        "SELECT to_regnamespace(:name) IS NULL OR has_schema_privilege(to_regnamespace(:name)::oid, 'CREATE')"
    ),
    "owner": text("SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass(:name)"),
}
_EXTENSION = text(
    "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR NOT superuser"
    " OR (trusted AND has_database_privilege(current_database(), 'CREATE'))"
    " FROM pg_available_extension_versions v JOIN pg_available_extensions e USING (name)"
    " WHERE name = :name AND v.version = e.default_version"
)
_HAS_EXTENSION = text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = :name)")
_DATABASE = text("SELECT quote_ident(current_database()), quote_ident(current_user)")


def missing_right(connection: Connection, statement: Node) -> str | None:
    """What the role may not do, and who can allow it; None if it may, as far as catalogs tell."""
    database, role = connection.execute(_DATABASE).one()
    grant = f"GRANT CREATE ON DATABASE {database} TO {role}"
    if isinstance(statement, pg.CreateSchemaStmt) and not _may(connection, "schema"):
        return f"the role {role} may not create schemas: as the database's owner run {grant}"
    if isinstance(statement, pg.CreateRoleStmt) and not _may(connection, "role"):
        return f"the role {role} may not create roles: as a superuser run ALTER ROLE {role} CREATEROLE"
    if isinstance(statement, pg.CreateExtensionStmt):
        return _extension(connection, statement, role)
    if isinstance(statement, pg.CreateStmt) and not _may(connection, "table", _schema_of(statement.relation)):
        schema = _schema_of(statement.relation)
        return f"the role {role} may not create tables in {schema}: run GRANT CREATE ON SCHEMA {schema} TO {role}"
    if isinstance(statement, pg.AlterTableStmt | pg.IndexStmt) and _may(connection, "owner", _name(statement)) is False:
        return f"{_name(statement)} does not belong to the role {role}, and only its owner may change it"
    return None


def _extension(connection: Connection, statement: pg.CreateExtensionStmt, role: str) -> str | None:
    name = statement.extname
    if connection.scalar(_HAS_EXTENSION, {"name": name}):
        return None if statement.if_not_exists else f"the extension {name} is there already"
    may = connection.scalar(_EXTENSION, {"name": name})
    if may is None:
        return f"the extension {name} is not installed on the server"
    return None if may else f"the role {role} may not create the extension {name}: a superuser has to, before"


def _may(connection: Connection, what: str, name: str = "") -> bool | None:
    found: bool | None = connection.scalar(_MAY[what], {"name": name} if name else {})
    return found


def _schema_of(relation: pg.RangeVar) -> str:
    return quote(relation.schemaname or "public")


def _name(statement: pg.AlterTableStmt | pg.IndexStmt) -> str:
    return table_name(statement.relation)
