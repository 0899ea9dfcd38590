"""The types of the resources' fields, and their limits."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from email_validator import validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

MAX_ID = 2**63 - 1  # bigint
PAGE_SIZE = 100  # of any list: no page has more
MAX_OFFSET = 10_000
# Bytes: enough for Prose and a few Lines, with each character as two escapes of six bytes.
RECORD_BODY = 128 * 2**10


def _shallow(value: int) -> int:
    if value > MAX_OFFSET:
        raise ValueError(f"must be {MAX_OFFSET:,} at most: beyond that, use `after`, as the Link header does")
    return value


def _email(value: str) -> str:
    # Not pydantic's EmailStr, because that also accepts "Ngozi <ngozi@zoo.example>", and drops the name.
    return validate_email(value, check_deliverability=False).normalized


Id = Annotated[int, Field(ge=1, le=MAX_ID)]

Offset = Annotated[int, AfterValidator(_shallow), Field(json_schema_extra={"maximum": MAX_OFFSET})]

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 254}),
]
"""An address as in RFC 5321, its domain in lower case."""


class RequestBody(BaseModel):
    """Base of what clients send: unknown fields are rejected, and nothing is converted (`"5"` is not a number)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        """Parse what is not parsed yet (see api/http/route.py); report only one finding if most fields are unknown."""
        if callable(data):
            data = data()
        if isinstance(data, dict) and len(data) > 2 * len(cls.model_fields):
            known = ", ".join(cls.model_fields)
            raise PydanticCustomError(
                "too_many_fields", "Most of these fields are unknown; known: {known}", {"known": known}
            )
        return data


@dataclass
class RecordRead:
    """Base of what clients get: the columns that every resource has.

    A dataclass, because it is made from a row of the database without validation: that was done before it was stored.
    """

    id: int
    created_at: datetime
    updated_at: datetime
    deleted_at: Annotated[datetime | None, Field(description="When it was deleted; null if it was not.")]


def record_example(fields: dict[str, Any]) -> dict[str, Any]:
    """An example of a record with these fields, as the API returns it."""
    moment = "2026-11-21T09:30:00Z"
    return {"id": 1, "created_at": moment, "updated_at": moment, "deleted_at": None, **fields}


class LimitQuery(BaseModel):
    """The size of a part of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=PAGE_SIZE, ge=1, le=PAGE_SIZE, description="How many records at most.")


class PageQuery(LimitQuery):
    """Which part of a list: `limit` records after the id `after`, or after the first `offset`."""

    offset: Offset = Field(default=0, ge=0, description="How many records to skip; the more, the slower.")
    after: int | None = Field(
        default=None, ge=0, le=MAX_ID, description="Only records with a larger id: a page costs the same at any depth."
    )
