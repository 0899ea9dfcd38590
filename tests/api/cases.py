"""What all routes are tested with: each part of the tests has the requests of its routes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy.ext.asyncio import AsyncSession

from api.enums.users import UserType
from tests.api.records import Resource

ANYBODY, USER, KEEPER, ADMIN = "anybody", UserType.VISITOR, UserType.KEEPER, UserType.ADMIN


@dataclass(frozen=True)
class Case:
    """A request, and its answer."""

    least: str  # who may send it
    status: int
    json: Any = None
    form: dict[str, str] | None = None
    new: Resource | None = None  # what it makes a record of
    needs_storage: bool = False
    refuses_key: bool = False  # if it changes something, it is otherwise done once by an Idempotency-Key


Cases = Mapping[str, Case]
Fill = Callable[[httpx.AsyncClient, AsyncSession, str], Awaitable[str]]
"""A path with the ids of records that the request can be about, in place of the names that a part knows."""
