"""A replica of the database, for reads that may be a little old.

Guarantee: what is read there has all that was committed READ_MAX_LAG_SECONDS ago. While the primary is away, it may be
older, by STALE_SECONDS at most, and is marked.

How far a replica is behind is measured by this process's clock alone: once a second the primary's position in the WAL
is noted, and the age of the newest note that the replica has replayed is the lag. The time of what was replayed last
would not tell, because it grows while nobody writes; nor would the replica's distance to what it has received, because
that does not grow when the link is broken. Positions can be compared only within one history: a cluster's timeline.

Each connection is asked where its server is, once a second, before it is used: the name in the URL may stand for
several servers, and may become another one's at any time. So may the database's name, by a restore: then sessions stay
in the database of before, and are ended. One more connection finds out whether there is a server at all, so that no
request has to wait for that.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database.driver import Database, PooledConnection
from api.database.engine import SCHEMA_REVISION, create_engine
from api.database.errors import DATABASE_ERRORS, is_away, reason_of, sqlstate
from api.database.pool import FairQueuePoolOfReplica
from api.errors import Unavailable
from api.metrics import REPLICA_LAG
from api.settings import Settings
from api.tasks import begin, end

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 1.0
STALE_SECONDS = 120.0  # most failovers take less
UNKNOWN = "nothing is known of it yet"

log = structlog.get_logger(__name__)

# No row if the server is a standby itself: then there is no primary to compare with.
_PRIMARY = """
SELECT system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline,
    (pg_current_wal_lsn() - '0/0')::bigint AS position,
    (SELECT oid FROM pg_database WHERE datname = current_database()) AS database
FROM pg_control_system() WHERE NOT pg_is_in_recovery()
"""
# Of the session itself, so that the pooler that may be between does not keep it.
_END = "SELECT pg_terminate_backend(pg_backend_pid())"
# No row if the server is not a standby, or no longer. Its control file names a new timeline a while after it follows
# that: until then it is taken for one that follows the old primary.
_REPLICA = """
SELECT system_identifier, greatest(timeline_id, min_recovery_end_timeline) AS timeline,
    coalesce(pg_last_wal_replay_lsn() - '0/0', 0)::bigint AS position,
    (SELECT direction FROM migration_history WHERE revision = $1 ORDER BY id DESC LIMIT 1) AS direction,
    (SELECT oid FROM pg_database WHERE datname = current_database()) AS database
FROM pg_control_system(), pg_control_checkpoint(), pg_control_recovery() WHERE pg_is_in_recovery()
"""


class NotRead(Exception):
    """The replica can't be read from now; the message says why."""


@dataclass(frozen=True)
class Note:
    """Where the primary was at a time of this process's clock; `database` is the OID of the one with the name."""

    at: float
    history: tuple[int, int]
    position: int
    database: int


@dataclass(frozen=True)
class Look:
    """What a server was found to be: it has all that was committed until `has_until`, or `fault` says why it is not
    read from. If `is_elsewhere`, only another session can be, because this one is in another database.
    """

    at: float
    has_until: float = -math.inf
    fault: str | None = None
    is_elsewhere: bool = False


class Replica:
    """Connections to a replica, as long as it is known to be near enough to the primary."""

    def __init__(self, primary: Database, requests: Database, watching: Database, max_lag: float) -> None:
        self._primary = primary
        self._requests = requests
        self._watching = watching
        self._max_lag = max_lag
        self._notes: deque[Note] = deque()
        self._looks: WeakKeyDictionary[asyncpg.Connection, Look] = WeakKeyDictionary()
        self._last = Look(-math.inf)
        self._away: str | None = UNKNOWN
        self._primary_fault: str | None = UNKNOWN
        self._unanswered = 0  # looks at the primary, in a row
        self._said: tuple[bool, str | None] = False, UNKNOWN
        self._failures: set[str] = set()  # that were logged in this state

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[asyncpg.Connection, float]]:
        """A connection, and how many seconds too old what is read by it may be: 0, or more while the primary is away.
        NotRead if it may not be read from.
        """
        if self._away is not None:
            raise NotRead(self._away)
        if self._last.is_elsewhere:  # a new connection would be, too
            raise NotRead(self._last.fault)
        async with self._requests.connect() as connection:
            yield connection, self._staleness(await self._look_again(connection))

    def can_stand_in(self) -> bool:
        """Whether reads go on while the primary is away."""
        is_there = self._away is None and self._last.fault is None
        return is_there and _now() - self._last.has_until <= max(self._max_lag, STALE_SECONDS)

    def note_failure(self, error: Exception) -> None:
        """The primary is asked for what the replica has failed to answer; for all else, too, until it answers again,
        if it is away.
        """
        kind = sqlstate(error) or type(error).__name__
        if is_away(error):
            self._away = reason_of(error)
        elif kind not in self._failures:
            self._failures.add(kind)
            log.info("the primary is asked instead of the replica", reason=reason_of(error))

    async def watch(self) -> None:
        """Look where the primary and the replica are, again and again, whatever fails. Neither waits for the other."""
        await asyncio.gather(self._watch_primary(), self._watch_replica())

    async def _watch_primary(self) -> None:
        while True:
            try:
                await self._note_primary()
                self._primary_fault, self._unanswered = None, 0
            except Exception as error:  # noqa: BLE001 - it must go on; what is no database's fault is logged
                before = self._primary_fault
                self._unanswered += 1
                self._primary_fault = f"where the primary is, is not known: {reason_of(error)}"
                if self._primary_fault != before:
                    _log_fault_of_this_code(error)
            await asyncio.sleep(LOOK_SECONDS)

    async def _watch_replica(self) -> None:
        while True:
            try:
                async with self._watching.connect() as connection, asyncio.timeout(ANSWER_SECONDS):
                    self._last = await self._look(connection)
                self._away = None
            except Exception as error:  # noqa: BLE001 - it must go on; what is no database's fault is logged
                before = self._away
                self._away = reason_of(error)
                if self._away != before:
                    _log_fault_of_this_code(error)
                for connection in list(self._looks):  # so that no request waits for it
                    connection.terminate()
            self._say()
            await asyncio.sleep(LOOK_SECONDS)

    async def _note_primary(self) -> None:
        async with self._primary.connect() as connection, asyncio.timeout(ANSWER_SECONDS):
            at = _now()  # before it is asked: what is committed later need not be there yet
            found = await connection.fetchrow(_PRIMARY)
        if found is not None:
            history = found["system_identifier"], found["timeline"]
            self._notes.append(Note(at, history, found["position"], found["database"]))
        while self._notes and at - self._notes[0].at > max(self._max_lag, STALE_SECONDS):
            self._notes.popleft()

    async def _look_again(self, connection: asyncpg.Connection) -> Look:
        look = self._looks.get(connection)
        if look is None or _now() - look.at >= LOOK_SECONDS:
            look = self._looks[connection] = await self._look(connection)
        return look

    async def _look(self, connection: asyncpg.Connection) -> Look:
        at = _now()
        found = await connection.fetchrow(_REPLICA, SCHEMA_REVISION)
        if found is None:
            return Look(at, fault="it is not a standby")
        if found["direction"] != "upgrade":
            return Look(at, fault=f"its schema lacks revision {SCHEMA_REVISION}")
        history = found["system_identifier"], found["timeline"]
        if not self._notes:
            return Look(at, fault=self._primary_fault or "the primary is a standby itself")
        newest = self._notes[-1]
        if history != newest.history:
            return Look(at, fault="it does not follow this primary, or not yet")
        if found["database"] != newest.database:
            with suppress(*DATABASE_ERRORS):
                await connection.execute(_END)
            connection.terminate()
            return Look(at, fault="its session is not in the primary's database, or not yet", is_elsewhere=True)
        notes = (note for note in reversed(self._notes) if (note.history, note.database) == (history, newest.database))
        replayed = (note.at for note in notes if note.position <= found["position"])
        return Look(at, has_until=next(replayed, -math.inf))

    def _staleness(self, look: Look) -> float:
        """How many seconds old it may be, if that is too old, else 0; NotRead if it may not be read from."""
        age, fault = _now() - look.has_until, self._away or look.fault
        if fault is None and age <= self._max_lag:
            return 0
        if fault is None and age <= STALE_SECONDS and self._unanswered > 1:  # the primary is away; one may be late
            return age
        raise NotRead(fault or f"it is more than {self._max_lag:g} s behind")

    def _say(self) -> None:
        """Measure it, and log what has changed, once."""
        REPLICA_LAG.set(_now() - self._last.has_until)
        try:
            is_stale, reason = self._staleness(self._last) > 0, None
        except NotRead as error:
            is_stale, reason = False, str(error)
        if (is_stale, reason) == self._said:
            return
        self._said = is_stale, reason
        self._failures.clear()
        if reason is not None:
            log.warning("the replica is not read from", reason=reason)
        elif is_stale:
            log.warning("the primary is away: answers from the replica may be stale")
        else:
            log.info("the replica is read from")


def _log_fault_of_this_code(error: Exception) -> None:
    if not isinstance(error, (Unavailable, *DATABASE_ERRORS)):
        log.error("the replica can't be watched", exc_info=error)


def _now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def open_replica(settings: Settings, primary: AsyncEngine) -> AsyncIterator[Replica | None]:
    """The replica that the settings name, watched until the block ends; None if they name none.

    `primary` is asked where the primary is.
    """
    if (url := settings.read_database()) is None:
        yield None
        return
    engines = [
        create_engine(settings, "api reads", size, url, FairQueuePoolOfReplica)
        for size in (settings.database_pool_size, 1)
    ]
    primary_, requests, watching = (Database(partial(PooledConnection, engine)) for engine in (primary, *engines))
    replica = Replica(primary_, requests, watching, settings.read_max_lag_seconds)
    task = begin(replica.watch())
    try:
        yield replica
    finally:
        await end(task)
        for engine in engines:
            await engine.dispose()
