"""Types of columns in revisions."""

from typing import Any

from sqlalchemy.types import UserDefinedType


class SqlType(UserDefinedType[Any]):
    """A type by its SQL, such as `vector(3)`: of an extension, a domain, or a class of the app's own.

    Autogenerate writes it where a revision would have to import the class, which may be another one in a year.
    """

    cache_ok = True

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def get_col_spec(self, **_: Any) -> str:
        """The SQL."""
        return self.sql
