"""The fields of exhibits, as the API accepts and returns them."""

from typing import Any

from pydantic import ConfigDict

from api.schemas.fields import RequestBody
from api.schemas.text import Line, Name, Prose

EXAMPLE: dict[str, Any] = {
    "name": "Savanna",
    "description": "Grassland with a waterhole, seen from a raised walkway.",
    "location": "North-west",
}


class ExhibitCreate(RequestBody):
    """A new exhibit."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Name
    description: Prose | None = None
    location: Line | None = None
