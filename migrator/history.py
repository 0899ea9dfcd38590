"""Which revisions were applied, and when: the table `migration_history`.

Guarantee: a revision and its row are committed together or not at all, for Alembic calls `record` inside the
revision's own transaction. `alembic_version` names the newest revision only, and an api that is older than the
schema would not find its own there; here it does.
"""

from collections.abc import Collection, Mapping
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Identity,
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

from migrator.errors import UnknownRevision

TABLE_NAME = "migration_history"

migration_history = Table(
    TABLE_NAME,
    MetaData(),
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("revision", Text, nullable=False),
    Column("direction", Text, nullable=False),  # upgrade or downgrade
    Column("applied_at", DateTime(timezone=True), nullable=False, server_default=func.statement_timestamp()),
)

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
        ctx.execute(insert(migration_history).values(revision=revision, direction=direction))


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
