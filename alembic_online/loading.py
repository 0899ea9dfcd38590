"""Loading the revisions: whatever is wrong with their files is said in one line, with the file's name."""

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from alembic.script import Script, ScriptDirectory
from alembic.script.revision import CycleDetected

from alembic_online.errors import ConfigurationError


def load_revisions(scripts: ScriptDirectory) -> None:
    """Load all revision files; ConfigurationError if one can't be loaded, or if they are no history together."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loaded = list(scripts.walk_revisions())
        except (Exception, SystemExit) as error:
            raise ConfigurationError(_find_reason(scripts, error)) from error
    for warning in caught:
        if "is present more than once" in str(warning.message):  # Alembic goes on with one of the two
            raise ConfigurationError(_find_reason(scripts, Exception(warning.message)))
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    for script in loaded:
        if not callable(getattr(script.module, "upgrade", None)):
            raise ConfigurationError(
                f"{Path(script.path).name}: has no upgrade(); write one, even if it only has `pass`"
            )


def _find_reason(scripts: ScriptDirectory, error: BaseException) -> str:
    """One line; `error` is what Alembic said, which seldom names a file."""
    found: list[Script] = []
    for path in _files(scripts):
        try:
            script = Script._from_path(scripts, path)  # noqa: SLF001 - what Alembic loads each file with
        except (Exception, SystemExit) as reason:  # noqa: BLE001 - a module may raise anything
            return f"{path.name}: the revision can't be loaded: {in_a_line(reason)}"
        if script is not None:
            found.append(script)
    return _find_contradiction(found, error) or f"the revisions can't be loaded: {in_a_line(error)}"


def _find_contradiction(found: list[Script], error: BaseException) -> str | None:
    """What is wrong with these revisions together."""
    files = {script.revision: Path(script.path).name for script in found}
    twice = next((name for name, count in Counter(script.revision for script in found).items() if count > 1), None)
    if twice is not None:
        both = [Path(script.path).name for script in found if script.revision == twice]
        return f"{' and '.join(both)}: have the same revision, {twice!r}; is one of them a copy? Give it another"
    known = {*files, *(label for script in found for label in script.branch_labels)}
    for script in found:
        for name in ("down_revision", "depends_on"):
            unknown = _names(getattr(script.module, name, None)) - known
            if unknown:
                return f"{files[script.revision]}: its {name} is {min(unknown)!r}, but there is no such revision"
    cycle = error if isinstance(error, CycleDetected) else error.__cause__
    if isinstance(cycle, CycleDetected):
        return f"{', '.join(sorted(files[name] for name in cycle.revisions))}: follow each other in a circle"
    return None


def _names(declared: str | list[str] | tuple[str, ...] | None) -> set[str]:
    return {declared} if isinstance(declared, str) else set(declared or ())


def _files(scripts: ScriptDirectory) -> Iterator[Path]:
    for folder in scripts._version_locations:  # noqa: SLF001 - with all of Alembic's ways to name them
        if folder.exists():
            yield from Script._list_py_dir(scripts, folder)  # noqa: SLF001


def in_a_line(error: BaseException) -> str:
    """The error for people, without its traceback."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"line {error.lineno}: {error.msg}"
    return " ".join(f"{type(error).__name__}: {error}".split())
