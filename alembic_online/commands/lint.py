"""`alembic-online lint`: what is wrong with revisions, before they run."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from alembic.script import Script
from alembic.util import CommandError

import alembic_online.operations  # noqa: F401 - registers them, for revisions to use
from alembic_online.errors import ConfigurationError
from alembic_online.log import fail
from alembic_online.project import Project, load_project

if TYPE_CHECKING:  # slow to import, and no other command needs it
    from alembic_online.lint import Finding


class Format(StrEnum):
    """For people, for programs, or as annotations of a pull request on GitHub."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def lint(
    revisions: Annotated[
        list[str] | None, typer.Argument(help="By default all, or all after lint_after.", show_default=False)
    ] = None,
    diff_base: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="Only revisions that are new or changed since it.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How findings are written.")] = Format.TEXT,
    rule: Annotated[str | None, typer.Option("--explain", metavar="RULE", help="Say what a rule is about.")] = None,
) -> None:
    """Say what is wrong with revisions: the lock or the rewrite, and the safe way. Needs no database.

    Example: alembic-online lint --diff-base origin/main --format github
    """
    from alembic_online.lint import find_heads, lint_revisions  # noqa: PLC0415

    if rule is not None:
        _explain(rule)
        return
    try:
        project = load_project()
        chosen = _choose(project, revisions or [], diff_base)
        found = [*lint_revisions(project, [script.revision for script in chosen]), *find_heads(project, chosen)]
    except (CommandError, ConfigurationError) as error:
        fail(str(error), ConfigurationError.exit_code)
    if text := WRITERS[format_](found, len(chosen)):
        typer.echo(text)
    if found:
        raise typer.Exit(1)


def _explain(rule: str) -> None:
    from alembic_online.lint.explanations import explain  # noqa: PLC0415

    try:
        typer.echo(explain(rule))
    except ValueError as error:  # there is no such rule
        fail(str(error), ConfigurationError.exit_code)


def _choose(project: Project, names: Sequence[str], diff_base: str | None) -> list[Script]:
    """The named revisions, or all that are linted, the oldest first; with `diff_base`, only those changed since it."""
    scripts = project.scripts
    named = [script for name in names for script in scripts.get_revisions(name)]
    every = [script for script in scripts.walk_revisions() if project.is_linted(script.revision)]
    chosen = named or list(reversed(every))
    if diff_base is None:
        return chosen
    from alembic_online.lint.changed import changed_since  # noqa: PLC0415

    changed = changed_since(diff_base, project.root)
    return [script for script in chosen if Path(script.path).resolve() in changed]


def _as_text(found: "Sequence[Finding]", linted: int) -> str:
    if not found:
        return f"{linted} revision{'s' * (linted != 1)}, nothing found"
    return "\n".join(map(str, found))


def _as_json(found: "Sequence[Finding]", _: int) -> str:
    return json.dumps([finding.as_dict() for finding in found], indent=2)


def _as_github(found: "Sequence[Finding]", _: int) -> str:
    """One workflow command each (docs.github.com, "Workflow commands": error), with `%` and line ends escaped."""

    def escaped(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    def property_(text: str) -> str:
        return escaped(text).replace(":", "%3A").replace(",", "%2C")

    return "\n".join(
        f"::error file={property_(one.path)},line={one.line},title={property_(one.rule)}::"
        + escaped(f"{one.what}. {one.safe_way}.")
        for one in found
    )


WRITERS: "dict[Format, Callable[[Sequence[Finding], int], str]]" = {
    Format.TEXT: _as_text,
    Format.JSON: _as_json,
    Format.GITHUB: _as_github,
}
