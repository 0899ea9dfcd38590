"""Which releases of the app are at work: by its sessions, and by the rows that its workers keep (workers.py).

The app's sessions are named `<application>@<release>`, those of its commands `<application> command@<release>`; before
that they may have the name that is in their URL, as in `billing: api@1.0`. Those of a pooler must not be, because they
keep the name of a client that is gone; behind one, the rows tell. A session without a release counts as older than any.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from alembic_online.runs.workers import Workers, find_workers

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


def find_at_work(connection: Connection, application: str) -> list[Sessions | Workers]:
    """All that shows which releases of the app are at work on this database, behind a pooler, too."""
    return [*find_sessions(connection, application), *find_workers(connection, application)]


def find_sessions(connection: Connection, application: str) -> list[Sessions]:
    """The sessions of the app on this database, as of the transaction's first look at the sessions."""
    named = re.compile(rf"(?:.*: )?{re.escape(application)}(?: command)?(?:@(.*))?", re.DOTALL)
    found = [(row, named.fullmatch(row[0])) for row in connection.execute(_SESSIONS)]
    return [Sessions(row[0], row[1], row[2], match[1] or UNKNOWN) for row, match in found if match]


def count_releases(found: Sequence[Sessions | Workers]) -> dict[str, int]:
    """How many sessions, or workers, each release has."""
    releases = sorted({each.release for each in found})
    return {release: sum(each.count for each in found if each.release == release) for release in releases}
