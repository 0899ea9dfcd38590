"""Animals, as the API accepts and returns them."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import MISSING, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic's, before Python 3.12

from api.schemas.fields import Id, PageQuery, RecordRead, RequestBody, record_example
from api.schemas.text import Line, Name, Prose

EXAMPLE: dict[str, Any] = {
    "name": "Amara",
    "description": "Born at the zoo in 2019.",
    "species": "Giraffa camelopardalis",
    "exhibit_id": None,
}
PHOTO = {
    "small": "https://photos.zoo.example/photos/0f3c1b7a9d5e4f628b1c0a7d3e9f5b26-320.webp",
    "large": "https://photos.zoo.example/photos/0f3c1b7a9d5e4f628b1c0a7d3e9f5b26-1280.webp",
    "alt": "Amara at the water hole",
}
EXAMPLE_READ = EXAMPLE | {"photo": PHOTO}


class AnimalFields(RequestBody):
    """The fields of an animal that may be left out or null."""

    description: Prose | None = None
    species: Line | None = None
    exhibit_id: Id | None = None


class AnimalCreate(AnimalFields):
    """A new animal."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Name


class AnimalUpdate(AnimalFields):
    """Changes to an animal: only the fields sent change, and null clears an optional one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "Moved in spring.", "exhibit_id": None}]})

    name: Name | MISSING = MISSING


class AnimalPhoto(TypedDict):
    """The first photo of an animal: where anybody can read it, and what it shows."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [PHOTO]})  # type: ignore[misc]  # pydantic's way

    small: str
    large: str
    alt: str


@dataclass
class AnimalRead(RecordRead):
    """An animal."""

    __pydantic_config__: ClassVar = ConfigDict(json_schema_extra={"examples": [record_example(EXAMPLE_READ)]})

    name: str
    description: str | None
    species: str | None
    exhibit_id: int | None
    photo: AnimalPhoto | None

    def __post_init__(self) -> None:
        """Read the photo, which is JSON in a row of the database."""
        if isinstance(self.photo, str):
            self.photo = json.loads(self.photo)


class ExhibitAnimalQuery(PageQuery):
    """Which animals of an exhibit."""

    species: Line | None = Field(default=None, description="Only animals of exactly this species.")
    name: Line | None = Field(default=None, description="Only animals with exactly this name.")


class AnimalQuery(ExhibitAnimalQuery):
    """Which animals."""

    exhibit_id: Id | None = Field(default=None, description="Only animals of this exhibit.")
