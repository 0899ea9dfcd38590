"""Which releases of the app are connected, and whether one is older than another.

The app's sessions have the name `<application>@<release>`, those of its commands `<application> command@<release>`.
What can't be told counts as older: a session without a release, and one whose release is no version number (`dev`, a
commit's hash).
"""

from dataclasses import dataclass

from packaging.version import InvalidVersion, Version
from sqlalchemy import Connection, text

UNKNOWN = "unknown"

_SESSIONS = text(
    "SELECT application_name, count(*), min(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND split_part(application_name, '@', 1) IN (:name, :name || ' command')"
    " GROUP BY 1 ORDER BY 1"
)


@dataclass(frozen=True)
class Sessions:
    """Sessions of the app that have one name; `pid` is the process of one of them."""

    name: str
    count: int
    pid: int

    @property
    def release(self) -> str:
        """The release that they say they are of."""
        return self.name.partition("@")[2] or UNKNOWN

    def __str__(self) -> str:
        return f"{self.name} ({self.count} session{'s' * (self.count > 1)}, pid {self.pid})"


def find_sessions(connection: Connection, application: str) -> list[Sessions]:
    """The sessions of the app on this database, as they are when the transaction looks for the first time."""
    return [Sessions(*row) for row in connection.execute(_SESSIONS, {"name": application})]


def count_releases(sessions: list[Sessions]) -> dict[str, int]:
    """How many sessions each release has."""
    releases = sorted({found.release for found in sessions})
    return {release: sum(found.count for found in sessions if found.release == release) for release in releases}


def find_version(release: str) -> Version | None:
    """The version number that `release` is; None where it is none.

    One without a dot is none either: of the short hashes of commits every tenth would pass, `3b85009` say.
    """
    try:
        version = Version(release)
    except InvalidVersion:
        return None
    return version if len(version.release) > 1 else None


def is_older(release: str, than: str) -> bool:
    """Whether `release` is older than the release `than`, or can't be told not to be."""
    version, other = find_version(release), find_version(than)
    return version is None or other is None or version < other
