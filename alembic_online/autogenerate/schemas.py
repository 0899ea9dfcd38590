"""Schemas that the models name."""

from collections.abc import Iterator

import sqlalchemy as sa

from alembic_online.autogenerate.context import ChangeContext
from alembic_online.autogenerate.step import Execute, Place, Step
from alembic_online.expressions import quote
from alembic_online.project import Project


def create(project: Project, change: ChangeContext) -> Iterator[Step]:
    """Create those that don't exist; the app's `reader_role`, if it exists, may use what will be in them."""
    role = project.reader_role
    for schema in sorted(project.schemas.difference(change.database.get_schema_names())):
        yield Step(
            Place.TOGETHER,
            f"schema {schema}",
            Execute(f"CREATE SCHEMA {quote(schema)}", f"DROP SCHEMA {quote(schema)}"),
        )
        if role is not None and change.connection.scalar(sa.select(sa.func.to_regrole(quote(role)))):
            yield Step(Place.TOGETHER, "", *(Execute(*both) for both in _rights(quote(schema), quote(role))))


def _rights(schema: str, role: str) -> Iterator[tuple[str, str]]:
    """What a role needs to use a schema that others make tables in, and how to take it back."""
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}", f"REVOKE USAGE ON SCHEMA {schema} FROM {role}"
    for what, rights in (("TABLES", "SELECT, INSERT, UPDATE, DELETE"), ("SEQUENCES", "USAGE")):
        default = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema}"
        yield f"{default} GRANT {rights} ON {what} TO {role}", f"{default} REVOKE {rights} ON {what} FROM {role}"
