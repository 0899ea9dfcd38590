"""The payments service; without it, orders are paid at the till."""

from enum import StrEnum
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints

from api.external_services.json_service import Service

Reference = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
"""A service's own id of something: visible ASCII characters."""


class PaymentStatus(StrEnum):
    """The state of a payment."""

    INVALID = "invalid"
    PAID = "paid"
    PENDING = "pending"


class Payment(BaseModel):
    """A payment, as the service reports it."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    payment_id: Reference
    status: PaymentStatus


class Payments(Service):
    """The service at PAYMENTS_URL."""

    def __init__(self, url: str) -> None:
        super().__init__("payments service", url)

    async def refund(self, payment_id: str, order_id: UUID, *, key: str) -> None:
        """Give back what was paid. With the same key it is given back once, however often that is requested."""
        path = f"/payments/{quote(payment_id, safe='')}/refund"
        await self.post(path, {"order_id": str(order_id)}, key, {200, 201, 202, 204})

    async def pay(self, order_id: UUID, status: str, *, key: str) -> Payment:
        """Pay for an order. With the same key it is the same payment, however often it is requested."""
        response = await self.post("/payments", {"order_id": str(order_id), "status": status}, key, {201})
        return self.read(response, Payment)
