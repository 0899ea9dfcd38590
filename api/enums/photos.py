"""Enums of photos."""

from enum import StrEnum


class PhotoState(StrEnum):
    """Where a photo is on its way from an upload to the list; `removed`: its objects are to be deleted."""

    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    REMOVED = "removed"
