"""The fields of animals, as the API accepts and returns them."""

from typing import Any

from pydantic import ConfigDict

from api.schemas.fields import Id, RequestBody
from api.schemas.text import Line, Name, Prose

EXAMPLE: dict[str, Any] = {
    "name": "Amara",
    "description": "Born at the zoo in 2019.",
    "species": "Giraffa camelopardalis",
    "exhibit_id": None,
}


class AnimalCreate(RequestBody):
    """A new animal."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Name
    description: Prose | None = None
    species: Line | None = None
    exhibit_id: Id | None = None
