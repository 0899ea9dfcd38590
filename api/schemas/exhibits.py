"""Exhibits, as the API accepts and returns them."""

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import MISSING, ConfigDict, Field

from api.schemas.fields import PageQuery, RecordRead, RequestBody, record_example
from api.schemas.text import Line, Name, Prose

EXAMPLE: dict[str, Any] = {
    "name": "Savanna",
    "description": "Grassland with a waterhole, seen from a raised walkway.",
    "location": "North-west",
}


class ExhibitFields(RequestBody):
    """The fields of an exhibit that may be left out or null."""

    description: Prose | None = None
    location: Line | None = None


class ExhibitCreate(ExhibitFields):
    """A new exhibit."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Name


class ExhibitUpdate(ExhibitFields):
    """Changes to an exhibit: only the fields sent change, and null clears an optional one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"location": "South"}]})

    name: Name | MISSING = MISSING


@dataclass
class ExhibitRead(RecordRead):
    """An exhibit."""

    __pydantic_config__: ClassVar = ConfigDict(json_schema_extra={"examples": [record_example(EXAMPLE)]})

    name: str
    description: str | None
    location: str | None


class ExhibitQuery(PageQuery):
    """Which exhibits."""

    location: Line | None = Field(default=None, description="Only exhibits at exactly this location.")
