"""What is wrong with the storage; whoever does not catch it answers 503 or 502."""

from api.errors import BadGateway, Unavailable


class StorageUnavailable(Unavailable):
    """The storage is away, too slow, or has failed: the same request may succeed later."""


class StorageRefused(BadGateway):
    """The storage refuses what it was asked, or answers what can't be understood."""

    is_refusal = True
