"""JSON as clients get it, where pydantic does not write it."""

from typing import Any
from uuid import UUID

import orjson


def to_json(content: Any) -> bytes:
    """`content`, made of dataclasses, as JSON. orjson takes a third of the time that pydantic does."""
    return orjson.dumps(content, default=_default, option=orjson.OPT_UTC_Z)


def _default(value: Any) -> str:
    if isinstance(value, UUID):  # asyncpg has a class of its own, which orjson does not know
        return str(value)
    raise TypeError
