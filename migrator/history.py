"""Which revisions were applied, when, how and by whom: the table `migration_history`.

Guarantee: a revision and its row are committed together or not at all, for Alembic calls `record` inside the
revision's own transaction. `alembic_version` names the newest revision only, and an api that is older than the
schema would not find its own there; here it does.
"""

import hashlib
import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Identity,
    Integer,
    Interval,
    MetaData,
    Table,
    Text,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.schema import CreateTable

from migrator.errors import ChangedRevision, UnknownRevision

TABLE_NAME = "migration_history"

migration_history = Table(
    TABLE_NAME,
    MetaData(),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("revision", Text, nullable=False),
    Column("direction", Text, nullable=False),  # upgrade or downgrade
    Column("checksum", Text),  # of the revision's file: SHA-256, in hexadecimal
    Column("started_at", DateTime(timezone=True)),  # the try that succeeded
    Column("applied_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("duration", Interval),  # of that try
    Column("attempts", Integer),
    Column("waited", Interval),  # for locks: the tries that failed, and the pauses between them
    Column("applied_by", Text),  # role@host
    Column("release", Text),
)


@dataclass
class Progress:
    """What is known of the revision under way, for its row."""

    release: str
    attempts: int = 1
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)
    first_began: float = field(default_factory=time.monotonic)

    def begin_try(self, attempts: int) -> None:
        """A try begins, the first or a further one."""
        self.attempts = attempts
        self.started_at, self.began = datetime.now(UTC), time.monotonic()

    def begin_revision(self) -> None:
        """The revision before was applied, and the next one begins."""
        self.begin_try(1)
        self.first_began = self.began


# The api's role may write to whatever table the migrator makes (default privileges); these two it only reads.
_READ_ONLY_FOR_API = text(
    "DO $$ BEGIN IF to_regrole('zoo_api') IS NOT NULL THEN"
    f" REVOKE INSERT, UPDATE, DELETE ON {TABLE_NAME}, alembic_version FROM zoo_api;"
    " END IF; END $$"
)


def record(
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: Collection[str],
    run_args: Mapping[str, Any],  # noqa: ARG001 - Alembic calls it by keyword
) -> None:
    """Write a row for each revision that this step applied or took back; a stamp may move over many at once.

    `heads` are those after the step. What a branch shares with another that stays is applied before and after.
    """
    staying = set(heads) - set(step.destination_revision_ids)
    before = _with_ancestors(ctx, {*step.source_revision_ids, *staying})
    after = _with_ancestors(ctx, heads)
    rows = [(revision, "upgrade") for revision in after if revision not in before]
    rows += [(revision, "downgrade") for revision in reversed(before) if revision not in after]
    ctx.execute(CreateTable(migration_history, if_not_exists=True))
    ctx.execute(_READ_ONLY_FOR_API)
    for revision, direction in rows:
        ctx.execute(insert(migration_history).values(revision=revision, direction=direction, **_details(ctx, revision)))
    if progress := ctx.opts.get("progress"):
        progress.begin_revision()


def _details(ctx: MigrationContext, revision: str) -> dict[str, Any]:
    assert ctx.script is not None
    details = {"checksum": checksum(ctx.script, revision), "applied_by": _BY_WHOM}
    progress: Progress | None = ctx.opts.get("progress")
    if progress is None:  # SQL for later: who runs it, and when, is not known
        return details
    return {
        **details,
        "started_at": progress.started_at,
        "duration": timedelta(seconds=time.monotonic() - progress.began),
        "attempts": progress.attempts,
        "waited": timedelta(seconds=progress.began - progress.first_began),
        "release": progress.release,
    }


_BY_WHOM = func.concat(text("session_user"), f"@{socket.gethostname()}")


def checksum(script: ScriptDirectory, revision: str) -> str:
    """SHA-256 of the revision's file, whatever line ends a checkout has given it."""
    found = script.get_revision(revision)
    assert found is not None
    return hashlib.sha256(Path(found.path).read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def require_unchanged(connection: Connection, script: ScriptDirectory) -> None:
    """ChangedRevision where the file of an applied revision is not the one that was applied."""
    if not inspect(connection).has_table(TABLE_NAME):
        connection.rollback()
        return
    known = {revision.revision for revision in script.walk_revisions()}
    newest_first = select(migration_history).order_by(migration_history.c.id.desc())
    seen: set[str] = set()
    changed = None
    for row in connection.execute(newest_first):
        if row.revision not in seen and row.direction == "upgrade" and row.checksum and row.revision in known:
            changed = changed or (row.revision if row.checksum != checksum(script, row.revision) else None)
        seen.add(row.revision)
    connection.rollback()  # Alembic begins its own transactions
    if changed:
        raise ChangedRevision(
            f"revision {changed} was applied, and its file has changed since: restore it and put the change into a new "
            "revision, or take it back first (alembic downgrade)"
        )


def is_ahead(connection: Connection, script: ScriptDirectory) -> bool:
    """Whether a newer release has brought the database to revisions that this one does not know.

    That is no error but the rollback of a release: its migrator has nothing to do. UnknownRevision where the history
    does not know the revision either.
    """
    known = {revision.revision for revision in script.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    recorded = set()
    if unknown and inspect(connection).has_table(TABLE_NAME):
        recorded = set(connection.scalars(select(migration_history.c.revision)))
    connection.rollback()  # Alembic begins its own transactions
    if unknown - recorded:
        raise UnknownRevision(
            f"the database is at revision {min(unknown - recorded)}, unknown to this release and to {TABLE_NAME}: "
            "find out who migrated it, then run that release's migrator, or correct alembic_version"
        )
    return bool(unknown)


def _with_ancestors(ctx: MigrationContext, revisions: Collection[str]) -> list[str]:
    """These revisions and all that they build on, oldest first."""
    assert ctx.script is not None
    found: dict[str, None] = {}  # an ordered set: one revision may be an ancestor of another
    for revision in revisions:
        lineage = [script.revision for script in ctx.script.iterate_revisions(revision, "base")]
        found |= dict.fromkeys(reversed(lineage))
    return list(found)
