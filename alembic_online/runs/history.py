"""Which revisions were applied, when, how and by whom: the table `migration_history`.

Guarantee: a revision and its row are committed together or not at all, because Alembic calls `record` inside the
revision's own transaction. `alembic_version` has only the newest revision, so an app that is older than the schema
would not find its own revision there; here it does.
"""

import hashlib
import socket
from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script, ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Identity,
    Integer,
    Interval,
    MetaData,
    Row,
    Table,
    Text,
    TextClause,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.schema import CreateTable

from alembic_online.errors import ChangedRevision, UnknownRevision
from alembic_online.runs.contract import floor_of
from alembic_online.runs.steps import Progress
from alembic_online.waivers import without_waivers

TABLE_NAME, BACKFILLS, SCHEMA_RECORD = "migration_history", "migration_backfills", "migration_schema"
WORKERS = "migration_workers"
OWN_TABLES = (TABLE_NAME, BACKFILLS, SCHEMA_RECORD, WORKERS)

migration_history = Table(
    TABLE_NAME,
    MetaData(),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("revision", Text, nullable=False),
    Column("direction", Text, nullable=False),  # upgrade or downgrade
    Column("checksum", Text),  # of the revision's file: SHA-256, in hexadecimal
    Column("started_at", DateTime(timezone=True)),  # when the try that succeeded began
    Column("applied_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("duration", Interval),  # of that try
    Column("attempts", Integer),
    Column("waited", Interval),  # for locks: in failed tries, and in the pauses between them
    Column("applied_by", Text),  # role@host
    Column("release", Text),
    Column("floor", Text),  # the first release of the app that can work with the schema after this move: floor.py
)


def read_only(context: MigrationContext, *tables: str) -> TextClause:
    """Let the app's role only read these: by default privileges it may write to all tables that the migrator makes."""
    return for_app(context, f"REVOKE INSERT, UPDATE, DELETE ON {', '.join(tables)} FROM {{role}};")


def for_app(context: MigrationContext, statements: str) -> TextClause:
    """These statements for the app's role, which they name as `{role}`; nothing is done if there is none."""
    role = context.opts["project"].reader_role
    if role is None:
        return text("SELECT")
    quoted = context.dialect.identifier_preparer.quote_identifier(role)
    literal = quoted.replace("'", "''")
    return text(
        f"DO $$ BEGIN IF to_regrole('{literal}') IS NOT NULL THEN {statements.format(role=quoted)} END IF; END $$"
    )


def record(
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: Collection[str],
    run_args: Mapping[str, Any],  # noqa: ARG001 - Alembic calls it by keyword
) -> None:
    """Write a row for each revision that this step applied or took back; a stamp may pass many at once.

    `heads` are the heads after the step. A revision that a staying branch shares is applied before and after.
    """
    staying = set(heads) - set(step.destination_revision_ids)
    before = applied(ctx, {*step.source_revision_ids, *staying})
    after = applied(ctx, heads)
    rows = [(revision, "upgrade") for revision in after if revision not in before]
    rows += [(revision, "downgrade") for revision in reversed(before) if revision not in after]
    ctx.execute(CreateTable(migration_history, if_not_exists=True))
    add_floor(ctx)
    ctx.execute(read_only(ctx, TABLE_NAME, "alembic_version"))
    floor = floor_of(after.values())
    for revision, direction in rows:
        move = {"revision": revision, "direction": direction, "floor": floor}
        ctx.execute(insert(migration_history).values(**move, **_details(ctx, revision)))


def add_floor(ctx: MigrationContext) -> None:
    """Add the column to a table that an older release of the tool has made. If it is there, nothing is locked."""
    ctx.execute(
        text(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '{TABLE_NAME}'::regclass"
            f" AND attname = 'floor') THEN ALTER TABLE {TABLE_NAME} ADD COLUMN floor text; END IF; END $$"
        )
    )


def _details(ctx: MigrationContext, revision: str) -> dict[str, Any]:
    assert ctx.script is not None
    details = {"checksum": checksum(ctx.script, revision), "applied_by": _BY_WHOM}
    progress = ctx.opts.get("progress")
    if not isinstance(progress, Progress):  # with --sql: who will run it, and when, is not known
        return details
    return {
        **details,
        "started_at": progress.started_at,
        "duration": timedelta(seconds=progress.duration),
        "attempts": progress.attempts,
        "waited": timedelta(seconds=progress.waited),
        "release": progress.release,
    }


_BY_WHOM = func.concat(text("session_user"), f"@{socket.gethostname()}")


def checksum(script: ScriptDirectory, revision: str) -> str:
    """SHA-256 of the revision's file, with LF line ends, and without the waivers of the lint."""
    found = script.get_revision(revision)
    assert found is not None
    source = Path(found.path).read_bytes().replace(b"\r\n", b"\n")
    return hashlib.sha256(without_waivers(source)).hexdigest()


def require_unchanged(connection: Connection, script: ScriptDirectory) -> None:
    """ChangedRevision if the file of an applied revision has changed since it was applied."""
    known = {revision.revision for revision in script.walk_revisions()}
    changed = None
    for revision, row in last_moves(connection).items():
        is_applied = row.direction == "upgrade" and revision in known
        if is_applied and row.checksum and row.checksum != checksum(script, revision):
            changed = changed or revision
    if changed:
        raise ChangedRevision(
            f"revision {changed} was applied, but its file has changed since: restore the file and put the change into "
            "a new revision, or take the revision back first (alembic downgrade)"
        )


def last_moves(connection: Connection) -> dict[str, Row[Any]]:
    """The newest row of each revision, the newest of all first; empty if nothing was ever recorded."""
    newest: dict[str, Row[Any]] = {}
    columns = migration_history.c
    if inspect(connection).has_table(TABLE_NAME):
        # Without the floor, which is of the schema, and which a table of an older release of the tool lacks.
        moves = select(*(column for column in columns if column is not columns.floor)).order_by(columns.id.desc())
        for row in connection.execute(moves):
            newest.setdefault(row.revision, row)
    connection.rollback()  # Alembic begins its own transactions
    return newest


def is_ahead(connection: Connection, script: ScriptDirectory) -> bool:
    """Whether a newer release has brought the database to revisions that this one does not know.

    That is not an error: it happens when a release is rolled back, and its migrator has nothing to do. UnknownRevision
    if the history does not know the revision either.
    """
    known = {revision.revision for revision in script.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if not_recorded := unknown - last_moves(connection).keys():
        raise UnknownRevision(
            f"the database is at revision {min(not_recorded)}, unknown to this release and to {TABLE_NAME}: "
            "find out who migrated it, then run that release's migrator, or correct alembic_version"
        )
    return bool(unknown)


def applied(ctx: MigrationContext, heads: Collection[str]) -> dict[str, Script]:
    """These revisions and all their ancestors, the oldest first."""
    assert ctx.script is not None
    found: dict[str, Script] = {}  # one revision may be an ancestor of another
    for head in heads:
        lineage = [*ctx.script.iterate_revisions(head, "base")]
        found |= {script.revision: script for script in reversed(lineage)}
    return found
