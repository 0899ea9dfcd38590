"""What the permissions of all routes are tested with: each part of the tests has the requests of its routes."""

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
    """A request, who may send it, and the answer that they get. `new` is the resource that it makes a record of.

    It is done once by an Idempotency-Key, if it changes something, unless it `refuses_key`.
    """

    least: str
    status: int
    json: Any = None
    form: dict[str, str] | None = None
    new: Resource | None = None
    refuses_key: bool = False


Cases = Mapping[str, Case]
Fill = Callable[[httpx.AsyncClient, AsyncSession, str], Awaitable[str]]
"""A path with the ids of records that the request can be about, in place of the names that a part knows."""
