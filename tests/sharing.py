"""What libraries, and the api, would make anew for each test, and what is always the same."""

import sys
from collections.abc import Iterable
from functools import cache
from types import SimpleNamespace
from typing import Any, ClassVar

import asyncpg
import httpx
from httpx._transports import default
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import LRUCache

from api import main
from api.database import engine as engine_of_api

extract_cookies = httpx.Cookies.extract_cookies
introspect = asyncpg.Connection._introspect_types  # noqa: SLF001 - it has no option for that
introspected: dict[frozenset[int], Any] = {}


def share_what_is_always_the_same() -> None:
    """For all tests of this process; each line is measured in docs/tests.md."""
    # httpx looks for this module at each request to an app, and Python searches all of its path: it is not installed.
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]
    # httpx makes a request of urllib's of each answer, to look for cookies: most have none.
    httpx.Cookies.extract_cookies = extract_if_any  # type: ignore[method-assign]
    # Each client would load the certificates of all authorities, for 20 ms, also one that speaks no TLS.
    default.create_ssl_context = cache(httpx.create_ssl_context)  # type: ignore[attr-defined]
    # The routes of a resource are the same in every app, and take nearly all of the time that making one takes.
    main.records_router = cache(main.records_router)  # type: ignore[attr-defined]
    engine_of_api.create_async_engine = create_sharing_engine  # type: ignore[attr-defined]
    # Each connection of asyncpg's asks Postgres what the enums are that it meets, which takes as long as connecting.
    asyncpg.Connection._introspect_types = introspect_once  # noqa: SLF001


def extract_if_any(self: httpx.Cookies, response: httpx.Response) -> None:
    """httpx's own method, of an answer that sets a cookie."""
    if "Set-Cookie" in response.headers:
        extract_cookies(self, response)


async def introspect_once(self: asyncpg.Connection, types: Iterable[int], timeout: float | None) -> Any:
    """asyncpg's own method, which returns the statement, too. A server gives a type's id to no other type."""
    key = frozenset(types)
    if key not in introspected:
        introspected[key], _ = await introspect(self, types, timeout)
    return introspected[key], SimpleNamespace(name="none was used")


class SharedDialect(PGDialect_asyncpg):
    """That of all engines of the api: SQLAlchemy keeps what it compiles for an engine and a dialect.

    A test that has an engine of its own would compile all its statements anew, and ask the server what it is.
    """

    supports_statement_cache = True
    compiled: LRUCache[Any, Any] = LRUCache(5000)
    told: ClassVar[dict[str, Any]] = {}

    def initialize(self, connection: Connection) -> None:
        if not self.told:
            before = dict(self.__dict__)
            super().initialize(connection)  # type: ignore[no-untyped-call]
            self.told.update({name: value for name, value in self.__dict__.items() if before.get(name) != value})
        self.__dict__.update(self.told)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SharedDialect)

    def __hash__(self) -> int:
        return hash(SharedDialect)


def create_sharing_engine(*args: Any, **options: Any) -> AsyncEngine:
    """An engine that has the statements that others have compiled."""
    engine = create_async_engine(*args, **options)
    engine.sync_engine.dialect.__class__ = SharedDialect
    engine.sync_engine._compiled_cache = SharedDialect.compiled  # noqa: SLF001 - it has no option for that
    return engine
