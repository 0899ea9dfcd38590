"""Rows that get old: each part of the api lists its own, and api/crud/cleaning.py removes them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Interval,
    TextClause,
    bindparam,
    delete,
    func,
    inspect,
    literal_column,
    select,
    true,
    tuple_,
)

from api.database.statements import Statement
from api.models import Base

ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class OldRows:
    """Rows that go when they are older than `kept_for`; `remove` takes `at_once` of them, and returns how many."""

    remove: Statement[int]
    kept_for: timedelta
    at_once: int = ROWS_AT_ONCE


def is_old(since: Any) -> ColumnElement[bool]:
    """Whether this time is longer ago than the parameter `kept_for`."""
    found: ColumnElement[bool] = since <= func.statement_timestamp() - bindparam("kept_for", type_=Interval)
    return found


def remove(model: type[Base], since: Any, *which: ColumnElement[bool] | TextClause) -> Statement[int]:
    """Deletes some rows that are old, of those `which`, and returns how many."""
    key = inspect(model).primary_key
    some = select(*key).where(is_old(since), *which).order_by(since).limit(literal_column(str(ROWS_AT_ONCE)))
    old = some.with_for_update(skip_locked=True).cte("old")
    gone = delete(model).where(tuple_(*key).in_(select(*old.c))).returning(true()).cte("gone")
    return Statement(select(func.count()).select_from(gone), int)
