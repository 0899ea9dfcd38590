"""SQL, as Postgres's own parser reads it. This is the only place where a revision's text becomes statements."""

from functools import lru_cache

import postgast
from postgast import PgQueryError
from postgast.walk import unwrap_node

from alembic_online.sql.names import Node


class NotUnderstood(Exception):
    """Postgres 18 can't parse this SQL."""


@lru_cache(maxsize=1024)
def parse(sql: str) -> tuple[Node, ...]:
    """The statements in the text, which nobody changes: a text is parsed once; NotUnderstood."""
    try:
        return tuple(unwrap_node(found.stmt) for found in postgast.parse(sql).stmts)
    except PgQueryError as error:
        raise NotUnderstood(str(error)) from error
