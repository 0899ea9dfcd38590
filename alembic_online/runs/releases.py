"""Which releases of the app are connected, and whether one is older than another.

The app's sessions are named `<application>@<release>`, those of its commands `<application> command@<release>`; before
that they may have the name that is in their URL, as in `billing: api@1.0`. Those of a pooler must not be, because they
keep the name of a client that is gone; behind one, workers.py tells. A session counts as older if it has no release, or
one that is not a version number (`dev`, a commit's hash).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version
from sqlalchemy import Connection, text

from alembic_online.runs.workers import Workers

UNKNOWN = "unknown"

_SESSIONS = text(
    "SELECT application_name, count(*), min(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name <> '' GROUP BY 1 ORDER BY 1"
)


@dataclass(frozen=True)
class Sessions:
    """The sessions of the app that have the same name; `pid` is the process of one of them."""

    name: str
    count: int
    pid: int
    release: str

    def __str__(self) -> str:
        return f"{self.name} ({self.count} session{'s' * (self.count > 1)}, pid {self.pid})"


def find_sessions(connection: Connection, application: str) -> list[Sessions]:
    """The sessions of the app on this database, as of the transaction's first look at the sessions."""
    named = re.compile(rf"(?:.*: )?{re.escape(application)}(?: command)?(?:@(.*))?", re.DOTALL)
    found = [(row, named.fullmatch(row[0])) for row in connection.execute(_SESSIONS)]
    return [Sessions(row[0], row[1], row[2], match[1] or UNKNOWN) for row, match in found if match]


def count_releases(found: Sequence[Sessions | Workers]) -> dict[str, int]:
    """How many sessions, or workers, each release has."""
    releases = sorted({each.release for each in found})
    return {release: sum(each.count for each in found if each.release == release) for release in releases}


def find_version(release: str) -> Version | None:
    """`release` as a version number; None if it is not one.

    A number without a dot is not one: every tenth short hash of a commit would pass, for example `3b85009`.
    """
    try:
        version = Version(release)
    except InvalidVersion:
        return None
    return version if len(version.release) > 1 else None


def is_older(release: str, than: str) -> bool:
    """Whether `release` is older than the release `than`, or might be."""
    version, other = find_version(release), find_version(than)
    return version is None or other is None or version < other
