"""What a contract revision declares: the first release of the app that does without what it takes away."""

from collections.abc import Iterable
from pathlib import Path

from alembic.script import Script

from alembic_online.errors import ConfigurationError
from stack_settings.release import find_version, is_older


def safe_from_release(revision: Script) -> str | None:
    """The first release of the app that does without what this contract revision takes away; None for `expand`.

    ConfigurationError if its file declares neither phase correctly.
    """
    file = Path(revision.path).name
    phase = getattr(revision.module, "phase", "expand")
    release = getattr(revision.module, "safe_from_release", None)
    if phase not in {"expand", "contract"}:
        raise ConfigurationError(f'{file}: phase is {phase!r}; write "expand" or "contract"')
    if phase == "expand":
        if release is not None:
            raise ConfigurationError(f'{file}: safe_from_release is for a contract revision; write phase = "contract"')
        return None
    if not isinstance(release, str) or find_version(release) is None:
        raise ConfigurationError(
            f"{file}: a contract revision names the first release of the app that does without what it takes away, but "
            f'safe_from_release is {release!r}; write, for example, safe_from_release = "0.4.0"'
        )
    return release


def is_contract(revision: Script) -> bool:
    """Whether it takes away what older releases use."""
    return safe_from_release(revision) is not None


def floor_of(revisions: Iterable[Script]) -> str | None:
    """The first release that can work with a schema to which these are applied; None if any can."""
    floor = None
    for revision in revisions:
        release = safe_from_release(revision)
        if release is not None and (floor is None or is_older(floor, release)):
            floor = release
    return floor
