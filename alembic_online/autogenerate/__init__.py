"""What `alembic revision --autogenerate` writes: changes in online form, in as many revisions as they need.

Guarantees: what is written runs as it stands, while the previous release of the app is at work, and leaves nothing for
`alembic check` to find, save where autogenerate can't know what is meant: whether a column that is gone has another
name now, what a new type makes of the old values, whether what is dropped is still needed. Then it writes what can be
done in any case, and a comment that says how to go on. Each revision can be taken back, in the same online form.

rewriter      what was found, in steps
tables, columns, alterations, constraints   a kind of finding each
fill, values  what the rows there are get
recipes       how to go on, where that can't be known
revisions     steps become revisions
release       which release of the app has the change
render        revisions become Python
change, step, sql   what all of them work with
"""

from typing import Any

from alembic import command
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

__all__ = ["write_online"]


def write_online(context: MigrationContext, revision: Any, directives: list[ops.MigrationScript]) -> None:
    """Alembic's `process_revision_directives`. `alembic check`, which asks for the same, hears what was found."""
    options = context.config.cmd_opts if context.config else None
    assert context.connection is not None
    if directives and (directives[0].message or (options and options.cmd[0] is command.revision)):
        # What takes a while to import, and no run of the migrator needs.
        from alembic_online.autogenerate.release import next_release  # noqa: PLC0415
        from alembic_online.autogenerate.render import render_item  # noqa: PLC0415
        from alembic_online.autogenerate.revisions import into_revisions  # noqa: PLC0415
        from alembic_online.autogenerate.rewriter import online  # noqa: PLC0415

        context.opts["render_item"] = render_item
        context.opts["release"] = next_release(context.connection, context.opts["project"].release)
        online.chain(into_revisions)(context, revision, directives)
