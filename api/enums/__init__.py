"""The enums that the database, the rules and the API's schemas share."""

from enum import StrEnum


class UserType(StrEnum):
    """The type of a user; each type may do everything that those before it may."""

    VISITOR = "visitor"
    KEEPER = "keeper"
    ADMIN = "admin"

    def includes(self, other: "UserType") -> bool:
        """Whether a user of this type may do what one of `other` may."""
        types = list(UserType)
        return types.index(self) >= types.index(other)


class OrderStatus(StrEnum):
    """The status of an order."""

    CREATED = "created"
    PAID = "paid"
    PROGRESS = "progress"
    CANCELLED = "cancelled"
    DISPATCHED = "dispatched"
    DELIVERED = "delivered"


class Size(StrEnum):
    """The size of an item of an order."""

    SMALL = "small"
    MEDIUM = "medium"
    BIG = "big"


class PhotoState(StrEnum):
    """Where a photo is on its way from an upload to the list; `removed`: its objects are to be deleted."""

    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    REMOVED = "removed"
