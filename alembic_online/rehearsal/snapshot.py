"""Which tables exist, and which locks a session holds on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from alembic_online.sql.lock import Lock

# Names are as `regclass` prints them while `public` is in the search path (see sql/names.py). An index, or a TOAST
# table, belongs to its table.
RELATIONS = """\
SELECT pg_class.oid,
    CASE nspname WHEN 'public' THEN '' ELSE quote_ident(nspname) || '.' END || quote_ident(pg_class.relname),
    coalesce(indrelid, toasted.oid, pg_class.oid),
    pg_class.relkind::text,
    pg_relation_filenode(pg_class.oid)::bigint,
    pg_stat_get_xact_numscans(pg_class.oid)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
LEFT JOIN pg_index ON indexrelid = pg_class.oid
LEFT JOIN pg_class toasted ON toasted.reltoastrelid = pg_class.oid AND pg_class.relkind = 't'
WHERE nspname NOT IN ('pg_catalog', 'information_schema')
AND pg_class.relkind IN ('r', 'p', 'm', 'f', 'v', 'i', 'I', 't')"""
LOCKS = (
    "SELECT relation, mode FROM pg_locks WHERE locktype = 'relation' AND pid = {pid}"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass(frozen=True)
class Relation:
    """A table, an index, or the like; `owner` is the oid of its table, for a table its own."""

    oid: int
    name: str
    owner: int
    kind: str
    file: int | None
    """The number of its file, which a rewrite changes."""
    scans: int
    """How often this transaction has scanned all of it."""

    @property
    def is_table(self) -> bool:
        """Whether it is a table, or a view."""
        return self.kind in {"r", "p", "m", "f", "v"}

    @property
    def is_lockable(self) -> bool:
        """Whether LOCK TABLE takes it."""
        return self.kind in {"r", "p"}


@dataclass(frozen=True)
class Snapshot:
    """The relations at one moment, by oid, and the locks that the session holds on them, as oid and mode."""

    relations: Mapping[int, Relation] = field(default_factory=dict)
    locks: frozenset[tuple[int, str]] = frozenset()

    @property
    def tables(self) -> list[Relation]:
        """The tables, and the views."""
        return [relation for relation in self.relations.values() if relation.is_table]


@dataclass(frozen=True)
class Seen:
    """What a statement was seen to do to a table; `lock` is the strongest that it took, None if it took no new one."""

    table: str
    lock: Lock | None
    held: Lock | None
    """The strongest lock that the revision held on it already."""
    is_rewritten: bool = False
    is_scanned: bool = False

    @property
    def is_something(self) -> bool:
        """Whether the statement did anything beyond what its revision had done before."""
        return self.lock is not None or self.is_rewritten or self.is_scanned


def read_snapshot(relations: Iterable[Any], locks: Iterable[Any]) -> Snapshot:
    """A snapshot, from the rows of RELATIONS and LOCKS."""
    return Snapshot({row[0]: Relation(*row) for row in relations}, frozenset((row[0], row[1]) for row in locks))


def seen_between(
    before: Snapshot, after: Snapshot, existing: frozenset[int], modes: Iterable[tuple[int, str]] = ()
) -> list[Seen]:
    """What happened to the tables in `existing`, which has oids; `modes` are locks that were seen in between."""
    taken = (after.locks | frozenset(modes)) - before.locks
    found = []
    for table in before.tables:
        if table.oid not in existing:
            continue
        # Not an index that is gone now: Postgres locked it exclusively when nobody could use it any more. CONCURRENTLY
        # had waited for those who did, or the whole table was locked.
        parts = {
            oid
            for oid, relation in before.relations.items()
            if relation.owner == table.oid and oid in existing and (oid == table.oid or oid in after.relations)
        }
        now = after.relations.get(table.oid)
        seen = Seen(
            table.name,
            _strongest(taken, parts),
            _strongest(before.locks, parts),
            is_rewritten=now is not None and now.file != table.file,
            is_scanned=now is not None and now.scans > table.scans,
        )
        if seen.is_something or seen.held:
            found.append(seen)
    return found


def _strongest(locks: Iterable[tuple[int, str]], oids: set[int]) -> Lock | None:
    return max((Lock.of_mode(mode) for oid, mode in locks if oid in oids), default=None)
