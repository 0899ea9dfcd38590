"""What Postgres says of errors, and how long it lets names be."""

NAME_BYTES = 63


def sqlstate(error: BaseException) -> str | None:
    """Postgres's code of an error, SQLAlchemy's or the driver's; None where it is not Postgres's.

    Source of the codes: PostgreSQL's documentation, appendix "PostgreSQL Error Codes".
    """
    state: str | None = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return state


def fit(name: str, end: str = "") -> str:
    """A name that ends in `end`, and before it has as much of `name` as there is room for."""
    return name.encode()[: NAME_BYTES - len(end.encode())].decode(errors="ignore") + end
