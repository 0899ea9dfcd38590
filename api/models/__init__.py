"""Every model, imported here so that `Base.metadata` is complete for the migrator."""

from api.models.animals import Animal
from api.models.base import Base
from api.models.exhibits import Exhibit
from api.models.idempotency import IdempotencyKey
from api.models.orders import Order, OrderEvent, OrderItem
from api.models.photos import Photo
from api.models.staff import Staff
from api.models.throttles import Throttle
from api.models.users import AccessToken, KnownAddress, User

__all__ = [
    "AccessToken",
    "Animal",
    "Base",
    "Exhibit",
    "IdempotencyKey",
    "KnownAddress",
    "Order",
    "OrderEvent",
    "OrderItem",
    "Photo",
    "Staff",
    "Throttle",
    "User",
]
