"""Enums of orders."""

from enum import StrEnum


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
