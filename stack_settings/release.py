"""The order of releases. One that is not a version number (`dev`, a commit's hash) counts as older than any other."""

from packaging.version import InvalidVersion, Version


def find_version(release: str) -> Version | None:
    """`release` as a version number; None if it is not one.

    A number without a dot is not one: every tenth short hash of a commit would pass, for example `3b85009`.
    """
    try:
        version = Version(release)
    except InvalidVersion:
        return None
    return version if len(version.release) > 1 else None


def is_older(release: str, than: str) -> bool:
    """Whether `release` is older than the release `than`, or might be."""
    version, other = find_version(release), find_version(than)
    return version is None or other is None or version < other
