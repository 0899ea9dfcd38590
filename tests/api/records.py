"""What the three resources have in common, for tests."""

from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Resource:
    path: str
    complete: dict[str, Any]  # every field
    optional: tuple[str, ...]

    def __str__(self) -> str:
        return self.path


EXHIBITS = Resource(
    "/exhibits",
    {"name": "Savanna", "description": "Wide and dry", "location": "North"},
    ("description", "location"),
)
ANIMALS = Resource(
    "/animals",
    {"name": "Amara", "description": "Tall", "species": "Giraffa camelopardalis", "exhibit_id": None},
    ("description", "species", "exhibit_id"),
)
STAFF = Resource(
    "/staff",
    {
        "name": "Ngozi",
        "job_title": "Keeper",
        "email": "ngozi@zoo.example",
        "phone": "+44 20 7946 0958",
        "notes": "First aider",
        "exhibit_id": None,
    },
    ("job_title", "email", "phone", "notes", "exhibit_id"),
)
RESOURCES = (EXHIBITS, ANIMALS, STAFF)


async def make(client: httpx.AsyncClient, path: str, **fields: Any) -> dict[str, Any]:
    """A record created through the api."""
    answer = await client.post(path, json={"name": "Somebody", **fields})
    assert answer.status_code == 201, answer.text
    record: dict[str, Any] = answer.json()
    return record
