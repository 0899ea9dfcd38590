"""Postgres's error codes, and how it names things."""

from collections.abc import Sequence

NAME_BYTES = 63


def sqlstate(error: BaseException) -> str | None:
    """Postgres's code of an error, SQLAlchemy's or the driver's; None if the error is not Postgres's.

    Source of the codes: PostgreSQL's documentation, appendix "PostgreSQL Error Codes".
    """
    state: str | None = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return state


def reason_of(error: BaseException) -> str:
    """What Postgres says about an error, SQLAlchemy's or the driver's, or what another error says; in one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def fit(name: str, end: str = "") -> str:
    """`name` followed by `end`, with `name` truncated to fit Postgres's limit."""
    return name.encode()[: NAME_BYTES - len(end.encode())].decode(errors="ignore") + end


def chosen_name(table: str, columns: Sequence[str], kind: str) -> str:
    """The name that Postgres gives a constraint that has none; `kind` is what it ends with: key, fkey, check, excl."""
    return fit("_".join([table, *columns]), f"_{kind}")
