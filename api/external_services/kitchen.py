"""The kitchen, which makes the ordered items; without it, keepers see what to make."""

from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

from api.external_services.json_service import Service
from api.external_services.payments import Reference


class Schedule(BaseModel):
    """When the kitchen makes an order; only its id is needed here."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: Reference


class Kitchen(Service):
    """The service at KITCHEN_URL."""

    def __init__(self, url: str) -> None:
        super().__init__("kitchen", url)

    async def schedule(self, items: list[dict[str, Any]], *, key: str) -> str:
        """Ask the kitchen to make these items; returns the id of their schedule."""
        response = await self.post("/kitchen/schedules", {"order": items}, key, {201})
        return self.read(response, Schedule).id

    async def cancel(self, schedule_id: str, items: list[dict[str, Any]], *, key: str) -> None:
        """Cancel a schedule. Its items are sent, too, because the kitchen asks for them."""
        path = f"/kitchen/schedules/{quote(schedule_id, safe='')}/cancel"
        await self.post(path, {"order": items}, key, {200, 201, 202, 204})
