"""Staff, as the API accepts and returns them."""

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import MISSING, ConfigDict, Field

from api.schemas.fields import Email, Id, PageQuery, RecordRead, RequestBody, record_example
from api.schemas.text import Line, Name, Prose

EXAMPLE: dict[str, Any] = {
    "name": "Ngozi Okafor",
    "job_title": "Head keeper",
    "email": "ngozi.okafor@zoo.example",
    "phone": "+44 20 7946 0958",
    "notes": "First aider.",
    "exhibit_id": None,
}


class StaffFields(RequestBody):
    """The fields of a member of staff that may be left out or null."""

    job_title: Line | None = None
    email: Email | None = None
    phone: Line | None = None
    notes: Prose | None = None
    exhibit_id: Id | None = None


class StaffCreate(StaffFields):
    """A new member of staff."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Name


class StaffUpdate(StaffFields):
    """Changes to a member of staff: only the fields sent change, and null clears an optional one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"job_title": "Curator", "phone": None}]})

    name: Name | MISSING = MISSING


@dataclass
class StaffRead(RecordRead):
    """A member of staff."""

    __pydantic_config__: ClassVar = ConfigDict(json_schema_extra={"examples": [record_example(EXAMPLE)]})

    name: str
    job_title: str | None
    email: str | None
    phone: str | None
    notes: str | None
    exhibit_id: int | None


class StaffQuery(PageQuery):
    """Which members of staff."""

    exhibit_id: Id | None = Field(default=None, description="Only staff of this exhibit.")
