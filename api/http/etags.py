"""Entity tags (RFC 9110, sections 8.8.3 and 13.1): by which a client says which state of a record it has seen.

A tag is a hash of an answer's bytes. No column and no query stands behind it: whoever is to tell whether a record is
still as a client has seen it writes it as the answer did, and compares.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import xxhash
from pydantic import TypeAdapter
from starlette.types import Scope

from api.errors import PreconditionFailed

# The compressed form of an answer has other bytes, and so another tag; of the record's state it says the same.
GZIP = b'-gzip"'

_TAGS = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def tag_of(body: bytes, link: bytes = b"") -> bytes:
    """The tag of an answer; with its Link header, where it has one, which tells a page that has become the last."""
    digest = xxhash.xxh3_64(body)
    if link:
        digest.update(link)
    return b'"%b"' % digest.hexdigest().encode()


def gzipped(tag: bytes) -> bytes:
    """The tag of the same answer when it is compressed."""
    return tag[:-1] + GZIP


def header(scope: Scope, name: bytes) -> bytes:
    """A request's header whose values are a list: all of its lines."""
    return b",".join(value for key, value in scope["headers"] if key == name)


def has_seen(if_none_match: bytes, tag: bytes) -> bool:
    """Whether a client that sends this has what an answer with `tag` would bring (section 13.1.2)."""
    tag = tag.removeprefix(b"W/")
    return if_none_match.strip() == b"*" or any(tag == found for _, found in _TAGS.findall(if_none_match))


class IfMatch:
    """What a client's If-Match asks of a record, before it is changed."""

    def __init__(self, value: bytes | None) -> None:
        self.value = value

    def __bool__(self) -> bool:
        """Whether it asks anything."""
        return self.value is not None

    def require(self, record: Any) -> None:
        """PreconditionFailed where the client has not seen the record, in the form that answers have, as it is now.

        Weak tags never match (section 13.1.1).
        """
        if self.value is None or self.value.strip() == b"*":
            return
        if _written(record) not in set(self._strong()):
            raise PreconditionFailed("It is not, or not any more, as If-Match has it: read it again")

    def _strong(self) -> Iterable[bytes]:
        return (tag.replace(GZIP, b'"') for weak, tag in _TAGS.findall(self.value or b"") if not weak)


def _written(record: Any) -> bytes:
    return tag_of(_adapter(record.__class__).dump_json(record))


@cache
def _adapter(type_: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_)
