"""Orders, as the API accepts and returns them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.enums.orders import OrderStatus, Size
from api.schemas.fields import MAX_ID, PAGE_SIZE, RequestBody
from api.schemas.text import Name

MAX_ITEMS = 100
ORDER_BODY = 64 * 2**10  # bytes
MAX_QUANTITY = 1_000_000
ITEM: dict[str, Any] = {"product": "Lemonade", "size": "big", "quantity": 2}
ORDER: dict[str, Any] = {
    "id": "019ab9e1-7c00-7000-8000-000000000002",
    "created": "2026-11-22T09:30:00Z",
    "status": "created",
    "order": [ITEM],
}


class ItemCreate(RequestBody):
    """A line of an order."""

    model_config = ConfigDict(json_schema_extra={"examples": [ITEM]})

    product: Name
    size: Annotated[Size, Field(strict=False)]
    quantity: int = Field(default=1, ge=1, le=MAX_QUANTITY)


class OrderCreate(RequestBody):
    """A new order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"order": [ITEM]}]})

    order: list[ItemCreate] = Field(min_length=1, max_length=MAX_ITEMS)


class OrderUpdate(OrderCreate):
    """New items for an order, in place of all that it has."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"order": [ITEM | {"quantity": 3}]}]})


class ItemRead(BaseModel):
    """A line of an order."""

    model_config = ConfigDict(from_attributes=True, extra="forbid", json_schema_extra={"examples": [ITEM]})

    product: str
    size: Size
    quantity: int


class OrderRead(BaseModel):
    """An order."""

    model_config = ConfigDict(from_attributes=True, extra="forbid", json_schema_extra={"examples": [ORDER]})

    id: UUID
    created: datetime = Field(validation_alias="created_at")
    status: OrderStatus
    order: list[ItemRead] = Field(validation_alias="items")


class OrderListed(OrderRead):
    """An order in a list."""

    attention: str = Field(default="", description="Why keepers have to look at it: only with `needs_attention=true`.")


class OrderList(BaseModel):
    """A page of orders, the newest first."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"orders": [ORDER]}]})

    orders: list[OrderListed]


class EventRead(BaseModel):
    """A change of an order's status."""

    model_config = ConfigDict(
        from_attributes=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "order_id": ORDER["id"],
                    "from": "created",
                    "to": "paid",
                    "user_id": "019ab9e1-7c00-7000-8000-000000000001",
                    "created": "2026-11-22T09:31:00Z",
                }
            ]
        },
    )

    order_id: UUID
    from_: OrderStatus | None = Field(
        validation_alias="from_status", serialization_alias="from", description="null for the order's first event."
    )
    to: OrderStatus = Field(validation_alias="to_status")
    user_id: UUID | None = Field(
        description="Who did it; null if it was the api itself, or if the account was deleted."
    )
    created: datetime = Field(validation_alias="created_at")


class EventList(BaseModel):
    """The changes of an order's status, the oldest first."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {
                            "order_id": ORDER["id"],
                            "from": None,
                            "to": "created",
                            "user_id": "019ab9e1-7c00-7000-8000-000000000001",
                            "created": "2026-11-22T09:30:00Z",
                        }
                    ]
                }
            ]
        },
    )

    events: list[EventRead]


class OrderQuery(BaseModel):
    """Which orders, and how many of them."""

    model_config = ConfigDict(extra="forbid")

    cancelled: bool | None = Field(default=None, description="true: only cancelled orders; false: only the others.")
    needs_attention: bool | None = Field(
        default=None,
        description="true: only orders that were paid, or may have been, and that the api can't bring to an end by"
        " itself; false: only the others.",
    )
    limit: int = Field(
        default=PAGE_SIZE, ge=1, le=MAX_ID, description=f"How many orders at most; a page has no more than {PAGE_SIZE}."
    )
    after: UUID | None = Field(default=None, description="Only orders older than the one with this id.")
