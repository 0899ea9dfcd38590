"""The enum of users."""

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
