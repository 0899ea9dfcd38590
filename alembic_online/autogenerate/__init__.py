"""What `alembic revision --autogenerate` writes: changes in online form, in as many revisions as they need.

Guarantees: the revisions run as written while the previous release of the app is at work, and leave nothing for
`alembic check` to find. The exception is what autogenerate can't know: whether a column that is gone was renamed, how
old values convert to a new type, whether what is dropped is still needed. There it writes what is safe in any case, and
a comment that says how to go on. Each revision can be taken back, in the same online form.

rewriter      differences become steps
tables, columns, alterations, constraints, enums, identities, schemas, sequences   one kind of difference each
fill, values  which values existing rows get
recipes       comments that say how to go on, where autogenerate can't know
revisions     steps become revisions
release       which release of the app has the change
render        revisions become Python
context, step, sql   shared by all of them
"""

from typing import Any

from alembic import command
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

__all__ = ["write_online"]


def write_online(context: MigrationContext, revision: Any, directives: list[ops.MigrationScript]) -> None:
    """Alembic's `process_revision_directives`. `alembic check` calls it, too, and gets Alembic's findings unchanged."""
    options = context.config.cmd_opts if context.config else None
    assert context.connection is not None
    if directives and (directives[0].message or (options and options.cmd[0] is command.revision)):
        # These are slow to import, and no run of the migrator needs them.
        from alembic_online.autogenerate.release import next_release  # noqa: PLC0415
        from alembic_online.autogenerate.render import render_item  # noqa: PLC0415
        from alembic_online.autogenerate.revisions import into_revisions  # noqa: PLC0415
        from alembic_online.autogenerate.rewriter import online  # noqa: PLC0415

        context.opts["render_item"] = render_item
        context.opts["release"] = next_release(context.connection, context.opts["project"].release)
        online.chain(into_revisions)(context, revision, directives)
