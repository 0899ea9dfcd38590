"""The fields of staff, as the API accepts and returns them."""

from typing import Any

from pydantic import ConfigDict

from api.schemas.fields import Email, Id, RequestBody
from api.schemas.text import Line, Name, Prose

EXAMPLE: dict[str, Any] = {
    "name": "Ngozi Okafor",
    "job_title": "Head keeper",
    "email": "ngozi.okafor@zoo.example",
    "phone": "+44 20 7946 0958",
    "notes": "First aider.",
    "exhibit_id": None,
}


class StaffCreate(RequestBody):
    """A new staff member."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Name
    job_title: Line | None = None
    email: Email | None = None
    phone: Line | None = None
    notes: Prose | None = None
    exhibit_id: Id | None = None
