"""The words that the database, the rules and the API's forms have in common."""

from enum import StrEnum


class UserType(StrEnum):
    """What a user is to the zoo; each may do what those before it may."""

    VISITOR = "visitor"
    KEEPER = "keeper"
    ADMIN = "admin"

    def includes(self, other: "UserType") -> bool:
        """Whether a user of this type may do what one of `other` may."""
        types = list(UserType)
        return types.index(self) >= types.index(other)


class OrderStatus(StrEnum):
    """How far an order is."""

    CREATED = "created"
    PAID = "paid"
    PROGRESS = "progress"
    CANCELLED = "cancelled"
    DISPATCHED = "dispatched"
    DELIVERED = "delivered"


class Size(StrEnum):
    """How large an item of an order is."""

    SMALL = "small"
    MEDIUM = "medium"
    BIG = "big"
