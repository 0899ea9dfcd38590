"""Postgres's table locks. Source: the table of conflicting lock modes in its documentation, "Explicit Locking"."""

from enum import IntEnum


class Lock(IntEnum):
    """The modes in which a table can be locked, the weakest first. `str` gives a mode's name in SQL."""

    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8

    def __str__(self) -> str:
        return self.name.replace("_", " ")

    @classmethod
    def of_mode(cls, mode: str) -> "Lock":
        """The lock that `pg_locks` calls this, for example AccessExclusiveLock."""
        return next(lock for lock in cls if lock.mode == mode)

    @property
    def mode(self) -> str:
        """Its name in `pg_locks`."""
        return f"{self.name.title().replace('_', '')}Lock"

    @property
    def conflicts(self) -> frozenset["Lock"]:
        """The modes in which nobody else can hold the table meanwhile."""
        return frozenset(Lock(other) for other in _CONFLICTS[self])

    @property
    def blocks_reads(self) -> bool:
        """Whether a SELECT of the table waits."""
        return Lock.ACCESS_SHARE in self.conflicts

    @property
    def blocks_writes(self) -> bool:
        """Whether an INSERT, UPDATE or DELETE of the table waits."""
        return Lock.ROW_EXCLUSIVE in self.conflicts


_CONFLICTS = {
    Lock.ACCESS_SHARE: {8},
    Lock.ROW_SHARE: {7, 8},
    Lock.ROW_EXCLUSIVE: {5, 6, 7, 8},
    Lock.SHARE_UPDATE_EXCLUSIVE: {4, 5, 6, 7, 8},
    Lock.SHARE: {3, 4, 6, 7, 8},
    Lock.SHARE_ROW_EXCLUSIVE: {3, 4, 5, 6, 7, 8},
    Lock.EXCLUSIVE: {2, 3, 4, 5, 6, 7, 8},
    Lock.ACCESS_EXCLUSIVE: {1, 2, 3, 4, 5, 6, 7, 8},
}
