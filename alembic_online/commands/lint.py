"""`python -m alembic_online lint`: what is wrong with revisions, before they run."""

import json
from typing import Annotated

import typer
from alembic.util import CommandError

import alembic_online.operations  # noqa: F401 - registers them, for revisions to use
from alembic_online.errors import ConfigurationError
from alembic_online.log import fail
from alembic_online.project import load_project


def lint(
    revisions: Annotated[
        list[str] | None, typer.Argument(help="By itself all, or all after lint_after.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON array.")] = False,
) -> None:
    """Tell what is wrong with revisions: the lock or the rewrite, and the safe way. Needs no database.

    Example: python -m alembic_online lint head
    """
    # What takes a while to import, and no other command needs.
    from alembic_online.lint import lint_revisions  # noqa: PLC0415

    try:
        project = load_project()
        scripts = project.scripts
        named = [script for name in revisions or () for script in scripts.get_revisions(name)]
        every = [script for script in scripts.walk_revisions() if project.is_linted(script.revision)]
        chosen = named or list(reversed(every))
        found = lint_revisions(project, [script.revision for script in chosen])
    except (CommandError, ConfigurationError) as error:
        fail(str(error), ConfigurationError.exit_code)
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in found], indent=2))
    else:
        for finding in found:
            typer.echo(str(finding))
        if not found:
            typer.echo(f"{len(chosen)} revision{'s' * (len(chosen) != 1)}, nothing found")
    if found:
        raise typer.Exit(1)
