"""What each statement of a revision does, seen while the revision runs: its locks, and what it rewrites.

Guarantee: every statement that a revision executes is here, with the line that it comes from. If its locks could be
seen only in part, that is noted (`Ran.way`). The run is like a real one, except that statements outside of a
transaction get one each, if they can be in one.
"""

import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import asyncpg
from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.util import await_

from alembic_online.operations import existing
from alembic_online.operations.steps import current_operation
from alembic_online.rehearsal.dump import OWN_TABLES
from alembic_online.rehearsal.lock_observation import LockObservation, observation_of
from alembic_online.rehearsal.snapshot import LOCKS, RELATIONS, Seen, Snapshot, read_snapshot, seen_between
from alembic_online.rehearsal.watch import Watch
from alembic_online.runs import lock, online
from stack_settings import DatabaseUrl

# The migrator's own queries and settings: around a revision's statement, and between the statements of an operation.
AROUND = online.__file__
BETWEEN = {lock.__file__, existing.__file__}


class Leg(StrEnum):
    """A part of a rehearsal."""

    UP = "up"
    DOWN = "down"
    UP_AGAIN = "up again"


@dataclass(frozen=True)
class Ran:
    """A statement that was executed."""

    leg: Leg
    revision: str
    line: int
    operation: str | None
    sql: str
    seconds: float
    way: LockObservation
    seen: tuple[Seen, ...]


@dataclass
class _Open:
    """A statement that is being executed."""

    revision: str
    line: int
    sql: str
    way: LockObservation
    before: Snapshot
    watch: Watch | None = None
    began: float = field(default_factory=time.perf_counter)


class Trace:
    """The statements of the revisions in `files` (revisions by path), on the database `url`."""

    def __init__(self, files: Mapping[str, str], url: DatabaseUrl) -> None:
        self.files, self.url = files, url
        self.leg = Leg.UP
        self.ran: list[Ran] = []
        self._open: _Open | None = None
        self._revision: tuple[Leg, str] | None = None
        self._leg: Leg | None = None
        self._existing: frozenset[int] = frozenset()  # what existed when this leg began

    def attach(self, connection: Connection) -> None:
        """Trace what is executed on `connection`, which is one try of a run."""
        self._revision = None
        event.listen(connection, "before_cursor_execute", self._before)
        event.listen(connection, "after_cursor_execute", self._after)
        event.listen(connection.engine, "handle_error", self._failed)  # an engine is made for each try

    def origin(self) -> tuple[str, int] | None:
        """The revision, and the line of its file, that is being executed; None if the statement is the migrator's."""
        frame = sys._getframe()  # noqa: SLF001 - as in statements.py
        while frame is not None:
            name = frame.f_code.co_filename
            if name == AROUND or name in BETWEEN:
                return None
            if name in self.files:
                return self.files[name], frame.f_lineno
            frame = frame.f_back  # type: ignore[assignment]
        return None

    def _before(self, connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if _is_around():
            return
        origin = self.origin()
        if origin is None:
            return
        revision, line = origin
        raw = _driver(connection)
        before = _look(raw)
        if self._leg != self.leg:
            self._leg = self.leg
            self._existing = frozenset(oid for oid, one in before.relations.items() if one.name not in OWN_TABLES)
        if self._revision != (self.leg, revision):  # it begins, perhaps not for the first time
            self._revision = (self.leg, revision)
            self.ran = [ran for ran in self.ran if (ran.leg, ran.revision) != self._revision]
        self._open = _Open(revision, line, statement, LockObservation.IN_ITS_TRANSACTION, before)
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT" and not raw.is_in_transaction():
            self._open.way = observation_of(statement)
            self._begin(self._open, raw)
        self._open.began = time.perf_counter()

    def _begin(self, opened: _Open, raw: asyncpg.Connection) -> None:
        if opened.way is LockObservation.IN_ONE_OF_ITS_OWN:
            await_(raw.execute("BEGIN"))
        else:
            tables = [table.name for table in opened.before.tables if table.is_lockable]
            opened.watch = Watch(self.url, raw.get_server_pid())
            await_(opened.watch.begin(tables if opened.way is LockObservation.HELD_UP else []))

    def _after(self, connection: Connection, _: Any, statement: str, *__: Any) -> None:
        opened = self._open
        if opened is None or opened.sql != statement or _is_around():
            return
        seconds = time.perf_counter() - opened.began
        raw = _driver(connection)
        modes = await_(opened.watch.end()) if opened.watch else set()
        seen = seen_between(opened.before, _look(raw), self._existing, modes)
        self._open = None
        if opened.way is LockObservation.IN_ONE_OF_ITS_OWN:
            await_(raw.execute("COMMIT"))
        self.ran.append(
            Ran(
                self.leg,
                opened.revision,
                opened.line,
                current_operation.get(),
                statement,
                seconds,
                opened.way,
                tuple(seen),
            )
        )

    def _failed(self, failure: ExceptionContext) -> None:
        """End the watch or transaction of a statement that failed: the revision may catch the error and go on."""
        opened, self._open = self._open, None
        if opened is not None and opened.watch is not None:
            await_(opened.watch.end())
        if opened is not None and opened.way is LockObservation.IN_ONE_OF_ITS_OWN and failure.connection is not None:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # the connection may be what failed
                await_(_driver(failure.connection).execute("ROLLBACK"))


def _is_around() -> bool:
    """Whether online.py executes this around another statement, which is traced itself."""
    frame = sys._getframe()  # noqa: SLF001 - as in statements.py
    while frame.f_back is not None and frame.f_code.co_filename != AROUND:
        frame = frame.f_back
    return frame.f_code.co_filename == AROUND


def _driver(connection: Connection) -> asyncpg.Connection:
    return connection.connection.driver_connection


def _look(raw: asyncpg.Connection) -> Snapshot:
    """Read a snapshot, past SQLAlchemy and its event listeners."""
    locks = LOCKS.format(pid=raw.get_server_pid())
    return read_snapshot(await_(raw.fetch(RELATIONS)), await_(raw.fetch(locks)))
