"""The types of the resources' fields, and their limits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from email_validator import validate_email
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from sqlalchemy.types import TypeEngine

from api.database.limits import misfit
from api.settings import ENVIRONMENT

MAX_ID = 2**63 - 1  # bigint
PAGE_SIZE = 100  # of any list: no page has more
MAX_OFFSET = 10_000
NO_PLACE = "must be the `after` of a Link header, in the same order"
# Domains of a developer's machine (RFC 2606, RFC 6762). No mail to them is delivered, so that the library refuses them,
# unless something follows.
LOCAL_DOMAINS = tuple(f"{before}{name}" for name in ("local", "localhost", "test") for before in "@.")
INVENTED = ".example"
# Bytes: enough for Prose and a few Lines, with each character as two escapes of six bytes.
RECORD_BODY = 128 * 2**10


_begins_with_date = re.compile(r"\s*\d{4}-\d\d-\d\d").match


def _shallow(value: int) -> int:
    if value > MAX_OFFSET:
        raise ValueError(f"must be {MAX_OFFSET:,} at most: beyond that, use `after`, as the Link header does")
    return value


def _text(value: Any) -> Any:
    # Also as text, a number would be seconds since 1970.
    if isinstance(value, int | float) or (isinstance(value, str) and not _begins_with_date(value)):
        raise ValueError("must be text, as in RFC 3339")
    return value


def _email(value: str) -> str:
    # Not pydantic's EmailStr, because that also accepts "Ngozi <ngozi@zoo.example>", and drops the name.
    if ENVIRONMENT.get() == "local" and value.lower().endswith(LOCAL_DOMAINS):
        return validate_email(value + INVENTED, check_deliverability=False).normalized.removesuffix(INVENTED)
    return validate_email(value, check_deliverability=False).normalized


@dataclass(frozen=True)
class Position:
    """A place in a list: after the record `id`, whose value of what the list is sorted by is `value`."""

    id: int
    value: Any = None


class Sort:
    """What a list may be sorted by: a column's type, and that of its values."""

    def __init__(self, column_type: TypeEngine[Any], value_type: Any) -> None:
        self._column_type = column_type
        self._is_time = value_type is datetime
        self._values = TypeAdapter(value_type)

    def read(self, text: str) -> Any:
        """The value that `text` stands for; ValueError if there is none."""
        if "\x00" in text:
            raise ValueError(NO_PLACE)
        if self._is_time and not text.endswith("Z"):
            raise ValueError("must have a time in UTC")
        try:
            value = self._values.validate_python(text)
        except ValidationError as error:
            raise ValueError(NO_PLACE) from error
        if why := misfit(self._column_type, value):
            raise ValueError(why)
        return value


Id = Annotated[int, Field(ge=1, le=MAX_ID)]

# JSON has none of these: they are written as text, and an amount may also be a number.
Date = Annotated[date, Field(strict=False), BeforeValidator(_text)]
Moment = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_text)]
Amount = Annotated[Decimal, Field(strict=False, allow_inf_nan=False)]

Offset = Annotated[int, AfterValidator(_shallow), Field(json_schema_extra={"maximum": MAX_OFFSET})]

Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 254}),
]
"""An address as in RFC 5321, its domain in lower case."""


class RequestBody(BaseModel):
    """Base of what clients send: unknown fields are rejected, and nothing is converted (`"5"` is not a number).

    A number is finite: JSON, in which answers are, has no other.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        """Parse what is not parsed yet (see api/http/route.py); report only one finding if most fields are unknown."""
        if callable(data):
            data = data()
        if isinstance(data, dict) and len(data) > 2 * len(cls.__pydantic_fields__):
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


class Computed:
    """Base of the fields of a resource's records that are not the client's to set: their types, and examples."""

    EXAMPLE: ClassVar[Mapping[str, Any]] = {}


def record_example(fields: dict[str, Any]) -> dict[str, Any]:
    """An example of a record with these fields, as the API returns it."""
    moment = "2026-11-21T09:30:00Z"
    return {"id": 1, "created_at": moment, "updated_at": moment, "deleted_at": None, **fields}


class LimitQuery(BaseModel):
    """The size of a part of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=PAGE_SIZE, ge=1, le=PAGE_SIZE, description="How many records at most.")


class PageQuery(LimitQuery):
    """Which part of a list, and in which order: `limit` records after `after`, or after the first `offset`."""

    sorts: ClassVar[Mapping[str, Sort]] = {}

    sort: str = "id"
    count: bool = Field(default=False, description="Also say in `X-Total-Count` how many records all pages have.")
    offset: Offset = Field(default=0, ge=0, description="How many records to skip; the more, the slower.")
    after: Annotated[Position | None, WithJsonSchema({"type": "string"})] = Field(
        default=None,
        description="Only records after this one, as the `Link` header names it; in id order, it is an id. A page costs"
        " the same at any depth.",
    )

    @field_validator("after", mode="before")
    @classmethod
    def _position(cls, after: Any, info: ValidationInfo) -> Any:
        """The position that `after` names, in the order that `sort` asks for."""
        if not isinstance(after, str) or "sort" not in info.data:
            return after
        value, comma, record_id = after.rpartition(",")
        order = info.data["sort"].removeprefix("-")
        if bool(comma) != (order != "id"):
            raise ValueError(NO_PLACE)
        if not (re.fullmatch(r"[0-9]{1,19}", record_id) and int(record_id) <= MAX_ID):
            raise ValueError(f"must have an id from 0 to {MAX_ID}")
        return Position(int(record_id), None if order == "id" else cls.sorts[order].read(value))
